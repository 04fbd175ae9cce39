//! How an owner is written in Redis. Pure.

use crate::backend::Claim;
use crate::lease::OwnerId;

/// The channel and the owner texts of one backend value: where its waiters are told of a hand-off.
///
/// An owner is `dl1|<inbox>|<id>|<ttl in ms>`, so that whoever releases can grant the lock to the next waiter
/// and tell its process without knowing more than the waiter's entry in the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Inbox(u64);

impl Inbox {
    /// The inbox named by 64 of the id's bits.
    pub(super) fn new(id: OwnerId) -> Self {
        Self(u64::try_from(id.as_u128() & u128::from(u64::MAX)).unwrap_or_default())
    }

    pub(super) fn channel(self) -> String {
        format!("dlock:i:{:016x}", self.0)
    }

    pub(super) fn owner(self, claim: &Claim) -> String {
        format!("dl1|{:016x}|{:032x}|{}", self.0, claim.owner.as_u128(), claim.ttl.as_millis())
    }

    /// The owner id in an owner text of this inbox.
    pub(super) fn parse(self, text: &[u8]) -> Option<OwnerId> {
        let mut parts = std::str::from_utf8(text).ok()?.split('|');
        let (version, inbox, id) = (parts.next()?, parts.next()?, parts.next()?);
        if version != "dl1" || u64::from_str_radix(inbox, 16).ok()? != self.0 {
            return None;
        }
        u128::from_str_radix(id, 16).ok().map(OwnerId::from_u128)
    }
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
        assert!(text.starts_with("dl1|0000000000000007|") && text.ends_with("|30000"), "{text}");
        assert_eq!(mine.parse(text.as_bytes()), Some(claim.owner));
        assert_eq!(other.parse(text.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_a_panic(text in prop::collection::vec(any::<u8>(), 0..60), tail in "(dl1\\||0000000000000007\\||[0-9a-f|]){0,6}") {
            prop_assert_eq!(Inbox(7).parse(&text), None);
            let _ = Inbox(7).parse(tail.as_bytes());
        }
    }
}
