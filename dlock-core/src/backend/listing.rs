//! The locks that are held, page by page.

use super::inspection::HolderView;
use crate::key::LockKey;
use std::fmt;

/// A lock that is held.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ListedLock {
    /// What is locked, without the namespace of the manager.
    pub key: LockKey,
    /// The holder.
    pub holder: HolderView,
}

impl ListedLock {
    /// The lock on `key`, which `holder` has.
    #[must_use]
    pub fn new(key: LockKey, holder: HolderView) -> Self {
        Self { key, holder }
    }
}

/// Some of the locks that are held, and where the others begin.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LockPage {
    /// The locks, in no order. There may be none though others follow.
    pub locks: Vec<ListedLock>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<ListCursor>,
}

impl LockPage {
    /// A page of these locks.
    #[must_use]
    pub fn new(locks: Vec<ListedLock>, next: Option<ListCursor>) -> Self {
        Self { locks, next }
    }
}

/// Where a page begins. Only the backend that gave it can read it.
#[derive(Clone, PartialEq, Eq)]
pub struct ListCursor(Box<[u8]>);

impl ListCursor {
    /// A cursor of these bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListCursor(..)")
    }
}

/// The keys that begin with `prefix` and come after `from`, in order: those of a page, and whether others follow.
pub(crate) fn page_of<K: AsRef<[u8]> + Ord>(
    keys: impl Iterator<Item = K>,
    prefix: &[u8],
    from: Option<&ListCursor>,
) -> (Vec<K>, bool) {
    let comes_after = |key: &K| from.is_none_or(|from| key.as_ref() > from.as_bytes());
    let mut keys: Vec<K> = keys.filter(|key| key.as_ref().starts_with(prefix) && comes_after(key)).collect();
    keys.sort();
    let has_more = keys.len() > PAGE;
    keys.truncate(PAGE);
    (keys, has_more)
}

/// How many keys are looked at for one page.
pub(crate) const PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_a_gap() {
        let keys: Vec<String> =
            (0..250).map(|number| format!("order:{number:03}")).chain(["x".to_owned()]).collect();
        let (mut seen, mut from) = (Vec::new(), None::<ListCursor>);
        loop {
            let (page, has_more) = page_of(keys.iter(), b"order:", from.as_ref());
            assert!(page.len() <= PAGE);
            seen.extend(page.iter().map(|key| (*key).clone()));
            if !has_more {
                break;
            }
            from = page.last().map(|last| ListCursor::new(last.as_bytes()));
        }
        assert_eq!(seen, keys[..250]);
    }
}
