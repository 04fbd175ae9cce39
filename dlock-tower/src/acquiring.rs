//! A request that asks for its lock.

use crate::rejection::LockRejection;
use crate::wait_limit::{WaitLimit, WaitSlot};
use dlock_core::{AcquireFuture, LockGuard, LockKey};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A request that has asked for its lock. Dropped, it leaves the queue before it gives its slot back.
#[derive(Debug)]
pub(crate) struct Acquiring {
    future: AcquireFuture,
    slot: SlotState,
}

/// Whether the request is counted among those that wait.
#[derive(Debug)]
enum SlotState {
    /// It does not wait.
    NotNeeded,
    NotTaken(LockKey),
    Taken {
        _slot: WaitSlot,
    },
}

impl Acquiring {
    /// Does not wait, so that it needs no slot.
    pub(crate) fn at_once(future: AcquireFuture) -> Self {
        Self { future, slot: SlotState::NotNeeded }
    }

    /// Takes a slot for `key` once it has to wait.
    pub(crate) fn waiting(future: AcquireFuture, key: LockKey) -> Self {
        Self { future, slot: SlotState::NotTaken(key) }
    }

    pub(crate) fn poll(
        &mut self,
        limit: &Arc<WaitLimit>,
        context: &mut Context<'_>,
    ) -> Poll<Result<LockGuard, LockRejection>> {
        if let Poll::Ready(outcome) = Pin::new(&mut self.future).poll(context) {
            return Poll::Ready(outcome.map_err(Into::into));
        }
        if let SlotState::NotTaken(key) = &self.slot {
            // Another request may have taken the last slot since this one looked.
            let Some(slot) = limit.take_slot(key) else {
                return Poll::Ready(Err(LockRejection::queue_full()));
            };
            self.slot = SlotState::Taken { _slot: slot };
        }
        Poll::Pending
    }
}
