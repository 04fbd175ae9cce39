//! What an owner asks for: a key, or a part of it, and a ttl.

use super::share::Share;
use crate::error::{ErrorKind, LockError, Operation};
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{OwnerId, Ttl};

/// The owner, the key, the ttl and the share. It is the same in every request of one acquisition.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Claim {
    /// What is locked.
    pub key: LockKey,
    /// The acquisition.
    pub owner: OwnerId,
    /// The length of the lease.
    pub ttl: Ttl,
    /// What the holder calls itself.
    pub label: Option<Label>,
    /// How much of the key it is about.
    pub share: Share,
}

impl Claim {
    /// A claim of a new owner on all of the key, without a label.
    ///
    /// # Errors
    /// As [`OwnerId::random`].
    pub fn new(key: LockKey, ttl: Ttl) -> Result<Self, LockError> {
        Ok(Self { key, owner: OwnerId::random()?, ttl, label: None, share: Share::All })
    }

    /// The same with a label.
    #[must_use]
    pub fn with_label(self, label: Option<Label>) -> Self {
        Self { label, ..self }
    }

    /// The same for a part of the key.
    #[must_use]
    pub fn with_share(self, share: Share) -> Self {
        Self { share, ..self }
    }

    /// Adds the operation and the key to an error.
    pub(crate) fn named(&self, operation: Operation) -> impl Fn(LockError) -> LockError + '_ {
        move |error| error.with_operation(operation).with_key(&self.key)
    }

    /// What a holder does that exchanges what it has for this.
    pub(crate) fn exchange_operation(&self) -> Operation {
        if self.share.is_all() { Operation::Upgrade } else { Operation::Downgrade }
    }

    /// An error about this claim.
    #[must_use]
    pub fn error(
        &self,
        operation: Operation,
        kind: ErrorKind,
        detail: impl Into<std::borrow::Cow<'static, str>>,
    ) -> LockError {
        LockError::new(kind, detail).with_operation(operation).with_key(&self.key)
    }
}
