//! What requests and guards are about, as types.

use crate::backend::Share;
use std::fmt;

/// What a request asks for, and a guard holds: [`Exclusive`], [`Reader`] or [`Permits`].
pub trait LockKind: sealed::Sealed + Copy + fmt::Debug + Send + Sync + Unpin + 'static {
    #[doc(hidden)]
    fn share(self) -> Share;
}

/// All of a key: a lock, or a writer.
#[derive(Debug, Clone, Copy)]
pub struct Exclusive(pub(crate) ());

/// A reader's part of a key.
#[derive(Debug, Clone, Copy)]
pub struct Reader(pub(crate) ());

/// Permits of a semaphore.
#[derive(Debug, Clone, Copy)]
pub struct Permits(pub(crate) Share);

impl LockKind for Exclusive {
    fn share(self) -> Share {
        Share::All
    }
}

impl LockKind for Reader {
    fn share(self) -> Share {
        Share::READER
    }
}

impl LockKind for Permits {
    fn share(self) -> Share {
        self.0
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for super::Exclusive {}
    impl Sealed for super::Reader {}
    impl Sealed for super::Permits {}
}
