//! How owners and times are written in Redis. Pure.

use super::number::GrantNumber;
use crate::backend::Claim;
use crate::label::Label;
use crate::lease::OwnerId;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::time::Duration;

/// The name of one backend value: its waiters are told of hand-offs by this name, and its owners carry it.
///
/// An owner is `dl2|<inbox>|<id>|<ttl in ms>|`, or with a label `dl2|<inbox>|<id>|<ttl in ms>=<label>|`. So a releaser
/// needs no more than the first entry of the queue to grant the lock to that waiter, and to tell its process. The value
/// of a lock is the owner with the number of its grant behind it. The last bar keeps a ttl of 300 from being the
/// beginning of one of 30000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inbox(u64);

impl Inbox {
    /// The inbox named by 64 of the id's bits.
    pub(super) fn new(id: OwnerId) -> Self {
        Self(u64::try_from(id.as_u128() & u128::from(u64::MAX)).unwrap_or_default())
    }

    /// What the name of every channel of this inbox ends with, as the keys' module writes them.
    pub(super) fn name(self) -> String {
        format!("{:016x}", self.0)
    }

    /// It is written for every request, and the formatting of the standard library takes several times as long.
    pub(super) fn owner(self, claim: &Claim) -> String {
        let mut text = String::with_capacity(OWNER_LENGTH);
        text.push_str(VERSION);
        text.push_str(const_hex::Buffer::<8>::new().format(&self.0.to_be_bytes()));
        text.push('|');
        text.push_str(const_hex::Buffer::<16>::new().format(&claim.owner.as_u128().to_be_bytes()));
        text.push('|');
        text.push_str(itoa::Buffer::new().format(claim.ttl.as_millis()));
        if let Some(label) = &claim.label {
            text.push('=');
            text.extend(utf8_percent_encode(label.as_str(), ENCODED));
        }
        text.push('|');
        text
    }

    /// Reads a message to this inbox: of a hand-off, `<owner><number>|<key>`, or of a lock that was taken away from its owner,
    /// the same with a `!` behind the form of the owner.
    pub(super) fn parse(self, message: &[u8]) -> Option<HandOff<'_>> {
        let mut parts = message.splitn(6, |byte| *byte == b'|');
        let mut next = || std::str::from_utf8(parts.next()?).ok();
        let (version, inbox, id, ttl) = (next()?, next()?, next()?, next()?);
        let number = GrantNumber::new(next()?.parse().ok()?);
        let key = parts.next()?;
        let form = VERSION.trim_end_matches('|');
        let is_taken_away = version.strip_suffix('!') == Some(form);
        if !is_taken_away && version != form || u64::from_str_radix(inbox, 16).ok()? != self.0 {
            return None;
        }
        let owner = OwnerId::from_u128(u128::from_str_radix(id, 16).ok()?);
        let owner_text = format!("{VERSION}{inbox}|{id}|{ttl}|");
        Some(HandOff { owner, owner_text, number, key, is_taken_away })
    }
}

/// An owner as it stands in Redis, without its id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnerText {
    pub(super) label: Option<Label>,
    /// The lock was taken away from it.
    pub(super) is_taken_away: bool,
}

impl OwnerText {
    /// Reads what has a lock: an owner, and the number of its grant.
    pub(super) fn of_holder(value: &[u8]) -> Option<(Self, GrantNumber)> {
        let (owner, number) = std::str::from_utf8(value).ok()?.rsplit_once('|')?;
        let number = number.parse().ok().filter(|number| *number < 1 << 53)?;
        Some((Self::parse(owner)?, GrantNumber::new(number)))
    }

    /// Reads a place in a queue.
    pub(super) fn of_waiter(owner: &[u8]) -> Option<Self> {
        Self::parse(std::str::from_utf8(owner).ok()?.strip_suffix('|')?)
    }

    fn parse(owner: &str) -> Option<Self> {
        let mut parts = owner.strip_prefix(VERSION)?.split('|');
        let (_inbox, _id, ttl, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let (ttl, label) = ttl.split_once('=').map_or((ttl, None), |(ttl, label)| (ttl, Some(label)));
        let left = ttl.strip_suffix('!');
        left.unwrap_or(ttl).parse::<u64>().ok()?;
        Some(Self { label: label.and_then(decoded), is_taken_away: left.is_some() })
    }
}

fn decoded(label: &str) -> Option<Label> {
    Label::new(percent_decode_str(label).decode_utf8().ok()?).ok()
}

/// The form of the owners.
const VERSION: &str = "dl2|";
/// What a label has encoded: the `|` that ends it, and all that a console shows badly.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b':')
    .remove(b'/')
    .remove(b'@')
    .remove(b'=')
    .remove(b'+')
    .remove(b',');
/// The longest ttl has eight digits.
const OWNER_LENGTH: usize = VERSION.len() + 16 + 1 + 32 + 1 + 8 + 1;

/// What the message of a hand-off says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HandOff<'a> {
    pub(super) owner: OwnerId,
    /// The owner as it stands in Redis.
    pub(super) owner_text: String,
    pub(super) number: GrantNumber,
    pub(super) key: &'a [u8],
    /// The lock was taken away, and is not handed off.
    pub(super) is_taken_away: bool,
}

/// Whole milliseconds, as the commands take them.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LockKey;
    use crate::lease::Ttl;
    use proptest::prelude::*;

    #[test]
    fn an_owner_reads_back_from_its_own_inbox_only() {
        let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
        let (mine, other) = (Inbox(7), Inbox(8));
        let text = mine.owner(&claim);
        assert_eq!(text, format!("dl2|{:016x}|{:032x}|30000|", 7, claim.owner.as_u128()));
        let message = format!("{text}9|a|b");
        let read = mine.parse(message.as_bytes()).unwrap();
        assert_eq!((read.owner, read.number, read.key), (claim.owner, GrantNumber::new(9), &b"a|b"[..]));
        assert_eq!(read.owner_text, text);
        assert_eq!(other.parse(message.as_bytes()), None);
        let taken = message.replacen("dl2|", "dl2!|", 1);
        assert_eq!(mine.parse(taken.as_bytes()), Some(HandOff { is_taken_away: true, ..read }));
        for wrong in [
            text.clone(),
            format!("{text}|"),
            format!("{text}9"),
            format!("{text}-1|a"),
            format!("{text}1e3|a"),
            format!("{text}9|a").replacen("dl2", "dl1", 1),
        ] {
            assert_eq!(mine.parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_label_reads_back_from_the_owner_that_carries_it() {
        for label in ["web-1:77", "50% | \u{fc} =2", "a=b|c"] {
            let label = Label::new(label).unwrap();
            let claim = Claim::new(LockKey::new("k").unwrap(), Ttl::default()).unwrap();
            let text = Inbox(7).owner(&claim.with_label(Some(label.clone())));
            let read = OwnerText { label: Some(label), is_taken_away: false };
            assert_eq!(OwnerText::of_waiter(text.as_bytes()).as_ref(), Some(&read), "{text}");
            let held = format!("{text}1750000000000000");
            assert_eq!(
                OwnerText::of_holder(held.as_bytes()),
                Some((read, GrantNumber::new(1_750_000_000_000_000)))
            );
            let message = format!("{text}9|a|b");
            assert_eq!(Inbox(7).parse(message.as_bytes()).unwrap().owner_text, text);
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..60), tail in "(dl2\\||0000000000000007\\||[0-9a-f|]){0,6}") {
            prop_assert_eq!(Inbox(7).parse(&text), None);
            let _ = Inbox(7).parse(tail.as_bytes());
        }
    }
}
