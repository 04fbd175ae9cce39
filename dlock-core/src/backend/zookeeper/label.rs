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
    }
}
