//! Permits that wait for those under another number of the same name, which is usually a mistake in a setting.

use crate::backend::{AcquireRequest, Share};
use crate::keeper::Keeper;
use crate::shared::Shared;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;
use tracing::field::display;

/// Most permits wait less, and are not looked after.
const FIRST_LOOK: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Looks after a request while it waits. It never ends.
pub(crate) type Notice<'a> = Pin<Box<dyn Future<Output = Infallible> + Send + 'a>>;

/// Tells once that the permits of `request` wait for those under another number. Others than permits need no such notice.
pub(crate) fn notice<'a>(manager: &'a Shared, request: &'a AcquireRequest) -> Option<Notice<'a>> {
    let number = number(request.claim.share)?;
    Some(Box::pin(async move {
        let other = look_out(manager, request).await;
        let (key, namespace) = (&request.claim.key, manager.backend.namespace().map(display));
        tracing::warn!(
            %key, namespace, backend = manager.backend.name(), permits = number, others = other,
            "permits wait until those under another number are back; give every process the same number"
        );
        std::future::pending().await
    }))
}

/// Looks again and again, ever more seldom, until there are holders under another number. Which one.
async fn look_out(manager: &Shared, request: &AcquireRequest) -> NonZeroU32 {
    let keeper = if manager.backend.is_local() { None } else { Keeper::started() };
    let mut pause = FIRST_LOOK;
    loop {
        manager.clock.sleep(pause, keeper).await;
        if let Some(other) = look(manager, request).await {
            return other;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn look(manager: &Shared, request: &AcquireRequest) -> Option<NonZeroU32> {
    if !request.progress.is_queued() {
        return None;
    }
    let claim = &request.claim;
    let seen = manager.backend.admin()?.inspect(&claim.key, Some(claim)).await.ok()?;
    other_number(claim.share, seen.holders.iter().map(|holder| holder.share))
}

/// Under which number others hold permits, if it is another one.
fn other_number(mine: Share, holders: impl IntoIterator<Item = Share>) -> Option<NonZeroU32> {
    let mine = number(mine)?;
    holders.into_iter().filter_map(number).find(|held| *held != mine)
}

/// The number of the semaphore that the permits are of. Readers have none.
fn number(share: Share) -> Option<NonZeroU32> {
    share.parts().filter(|_| share != Share::READER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_permits_of_two_numbers_are_told_apart() {
        let part = |of| Share::Part { weight: NonZeroU32::MIN, of: NonZeroU32::new(of).unwrap() };
        assert_eq!(other_number(part(3), [part(3), part(5)]), NonZeroU32::new(5));
        assert_eq!(other_number(part(3), [part(3), Share::READER]), None);
        assert_eq!(other_number(part(3), [Share::All]), None);
        assert_eq!(other_number(Share::READER, [part(3)]), None);
        assert_eq!(other_number(Share::All, [part(3)]), None);
    }
}
