//! Turns with parts of a key.

use super::{LIMIT, Run, Section, watch, within};
use crate::error::fail;
use dlock_core::{
    ErrorKind, LockError, LockGuard, LockKind, LockManager, LockRequest, ReadGuard, Semaphore, Share,
    WriteGuard,
};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Of the semaphore that stands on the key beside its readers.
const PERMITS: u32 = 3;

/// One task of a contention.
struct Turns {
    locks: LockManager,
    key: String,
    run: Arc<Run>,
}

/// Takes each kind of turn in its order, and begins with that of its number.
pub(super) async fn take_turns(locks: LockManager, key: String, task: usize, run: Arc<Run>) {
    let turns = Turns { locks, key, run };
    for turn in task.. {
        if turns.run.is_ending.load(Ordering::SeqCst) {
            return;
        }
        let taken = match turn % 7 {
            0 => turns.write(turn).await,
            1 | 2 => turns.read(turn).await,
            3 => turns.read_and_upgrade(turn).await,
            4 => turns.write_and_downgrade(turn).await,
            _ => turns.take_permits(turn).await,
        };
        if let Err(error) = taken {
            turns.pass_over(&error).await;
        }
    }
}

impl Turns {
    async fn write(&self, turn: usize) -> Result<(), LockError> {
        if let Some(guard) = acquire(self.locks.write(&self.key), turn).await? {
            self.hold(Share::All, guard, turn).await;
        }
        Ok(())
    }

    async fn read(&self, turn: usize) -> Result<(), LockError> {
        if let Some(guard) = acquire(self.locks.read(&self.key), turn).await? {
            self.hold(Share::READER, guard, turn).await;
        }
        Ok(())
    }

    async fn take_permits(&self, turn: usize) -> Result<(), LockError> {
        let weight = turn as u32 % PERMITS + 1;
        let workers: Semaphore = self.locks.semaphore(&self.key, PERMITS);
        if let Some(guard) = acquire(workers.permits(weight), turn).await? {
            let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
            self.hold(Share::Part { weight: number(weight), of: number(PERMITS) }, guard, turn).await;
        }
        Ok(())
    }

    async fn write_and_downgrade(&self, turn: usize) -> Result<(), LockError> {
        let Some(writer): Option<WriteGuard> = acquire(self.locks.write(&self.key), turn).await? else {
            return Ok(());
        };
        self.watch(Share::All, &writer, turn).await;
        let reader = within("a downgrade is answered", writer.downgrade()).await?;
        self.hold(Share::READER, reader, turn).await;
        Ok(())
    }

    async fn read_and_upgrade(&self, turn: usize) -> Result<(), LockError> {
        let Some(reader): Option<ReadGuard> = acquire(self.locks.read(&self.key), turn).await? else {
            return Ok(());
        };
        self.watch(Share::READER, &reader, turn).await;
        match within("an upgrade is answered", reader.try_upgrade()).await? {
            Ok(writer) => self.hold(Share::All, writer, turn).await,
            Err(reader) => drop(reader),
        }
        Ok(())
    }

    async fn hold<S>(&self, share: Share, guard: LockGuard<S>, turn: usize) {
        self.watch(share, &guard, turn).await;
        // One that was lost, or is not confirmed, is repeated in the background.
        let _ = within("a release is answered", guard.release()).await;
    }

    async fn watch<S>(&self, share: Share, guard: &LockGuard<S>, turn: usize) {
        let section: Section = watch(self.key.clone(), share, guard, |looks| looks < turn % 4).await;
        self.run.history.lock().0.push(section);
    }

    /// What a caller may pass over by asking again, which it does a little later.
    async fn pass_over(&self, error: &LockError) {
        if error.kind() != ErrorKind::Lost {
            self.run.note(error);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every few turns it loses patience, wherever its request is by then.
async fn acquire<S: LockKind>(
    request: LockRequest<S>,
    turn: usize,
) -> Result<Option<LockGuard<S>>, LockError> {
    let patience = if turn % 5 == 4 { Duration::from_millis(turn as u64 % 40) } else { LIMIT };
    match tokio::time::timeout(patience, request.acquire()).await {
        Ok(answer) => answer.map(Some),
        Err(_) if patience < LIMIT => Ok(None),
        Err(_) => fail(&format_args!("an acquire was not answered within {LIMIT:?}")),
    }
}
