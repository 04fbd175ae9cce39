//! Labels in the data of lock nodes. Pure.
//!
//! Other clients keep a name there as well: Curator the address of its host, kazoo its identifier. A request to let go
//! overwrites it.

use crate::label::Label;

/// What asks a holder to let go. Curator knows it as the whole data of a node.
pub(super) const REQUEST: &[u8] = b"__REVOKE__";

/// The data of a node in a queue. A label that reads as a request is left out.
pub(super) fn written(label: Option<&Label>) -> &[u8] {
    let text = label.map_or(&[][..], |label| label.as_str().as_bytes());
    if text.starts_with(REQUEST) { &[] } else { text }
}

/// The data of a node of the simple recipe, which ends with the mark of its owner.
pub(super) fn before_mark(label: Option<&Label>, mark: &str) -> Vec<u8> {
    [written(label), mark.as_bytes()].concat()
}

/// The label in the data of a node in a queue. What another client keeps there is read as one, if it can be.
pub(super) fn read(data: &[u8]) -> Option<Label> {
    let text = std::str::from_utf8(data).ok().filter(|text| !text.as_bytes().starts_with(REQUEST));
    text.and_then(|text| Label::new(text).ok())
}

/// The label before the mark of a node of the simple recipe. The holder may have been asked to let go.
pub(super) fn read_before_mark(data: &[u8]) -> Option<Label> {
    let data = data.strip_prefix(REQUEST).unwrap_or(data);
    read(data.get(..data.len().checked_sub(MARK_LENGTH)?)?)
}

/// Of the mark of an owner: its id in hex.
const MARK_LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_data_unless_it_reads_as_a_request() {
        let label = |text: &str| Label::new(text).unwrap();
        assert_eq!(written(None), b"");
        assert_eq!(written(Some(&label("web-1"))), b"web-1");
        assert_eq!(written(Some(&label("__REVOKE__ me"))), b"");
        assert_eq!(before_mark(Some(&label("web-1")), "0f"), b"web-10f");
        assert_eq!(
            (read(b"web-1"), read(b""), read(b"\xff"), read(b"__REVOKE__")),
            (Some(label("web-1")), None, None, None)
        );
        let mark = "f".repeat(MARK_LENGTH);
        for data in [format!("web-1{mark}"), format!("__REVOKE__web-1{mark}")] {
            assert_eq!(read_before_mark(data.as_bytes()), Some(label("web-1")), "{data}");
        }
        assert_eq!((read_before_mark(mark.as_bytes()), read_before_mark(b"x")), (None, None));
    }
}
