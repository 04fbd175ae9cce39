//! What `inspect.lua` answers, read into what others may see. Pure.

use super::number::{GrantNumber, TOKENS};
use super::replies::strange;
use super::wire::OwnerText;
use crate::backend::{ClientKind, HolderView, Inspection, Share, WaiterView};
use crate::error::LockError;
use std::time::Duration;

/// The answer of `inspect.lua`: the time, the holder, what is left, how many are ahead, the waiters.
pub(super) type InspectReply = (u64, Vec<u8>, i64, i64, Vec<(Vec<u8>, f64)>);

pub(super) fn inspection(reply: &InspectReply) -> Inspection {
    let (now, holder, left_ms, ahead, waiters) = reply;
    let mut seen = Inspection::default();
    seen.holders.extend((!holder.is_empty()).then(|| holder_view(holder, *left_ms, *now)));
    seen.waiters.extend(waiters.iter().map(|(owner, came)| waiter_view(owner, *came, *now)));
    seen.place = usize::try_from(*ahead).ok().map(|ahead| ahead + 1);
    seen
}

/// What has a lock, of which so much is left, at `now` in microseconds by the server's clock. The number of a grant is no less
/// than the time of the grant, and rarely greater.
pub(super) fn holder_view(value: &[u8], left_ms: i64, now: u64) -> HolderView {
    let remaining = u64::try_from(left_ms).ok().map(Duration::from_millis);
    let Some((owner, number)) = OwnerText::of_holder(value) else {
        return HolderView { remaining, ..HolderView::new(ClientKind::Foreign) };
    };
    HolderView {
        label: owner.label,
        share: Share::All,
        token: Some(number.token()),
        tokens: TOKENS,
        held_for: Some(elapsed(number, now)),
        remaining,
        client: ClientKind::Dlock,
        is_taken_away: owner.is_taken_away,
    }
}

fn elapsed(since: GrantNumber, now: u64) -> Duration {
    Duration::from_micros(now.saturating_sub(since.as_u64()))
}

fn waiter_view(owner: &[u8], came: f64, now: u64) -> WaiterView {
    let mut view = WaiterView::new(ClientKind::Foreign);
    if let Some(owner) = OwnerText::of_waiter(owner) {
        (view.label, view.client) = (owner.label, ClientKind::Dlock);
    }
    view.waiting_for = Some(Duration::from_micros(now).saturating_sub(micros(came)));
    view
}

/// Scores are exact up to 2^53.
fn micros(score: f64) -> Duration {
    Duration::try_from_secs_f64(score / 1e6).unwrap_or_default()
}

/// Reads the answer.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if it is of another form.
pub(super) fn answer(value: &redis::Value) -> Result<InspectReply, LockError> {
    redis::from_redis_value_ref(value).map_err(|_| strange())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_ours_or_foreign() {
        let value = b"dl2|0000000000000007|0000000000000000000000000000000a|30000=web-1|1750000000000000";
        let ours = holder_view(value, 12_000, 1_750_000_003_000_000);
        assert_eq!(ours.label.as_ref().map(crate::Label::as_str), Some("web-1"));
        assert_eq!(ours.token, Some(GrantNumber::new(1_750_000_000_000_000).token()));
        assert_eq!((ours.held_for, ours.tokens), (Some(Duration::from_secs(3)), 64));
        assert_eq!(ours.remaining, Some(Duration::from_secs(12)));
        let taken = b"dl2|7|a|12000!=web-1|1750000000000000";
        assert!(holder_view(taken, 12_000, 7).is_taken_away && !ours.is_taken_away);
        assert_eq!(holder_view(value, 1, 1).held_for, Some(Duration::ZERO), "a number ahead of the clock");
        for foreign in [&b"5f1c"[..], b"dl1|7|a|30000|7", b"dl2|7|a|30000|", b"dl2|7|a|30000|x", b"\xff"] {
            let view = holder_view(foreign, -1, 7);
            assert_eq!(
                (view.client, view.token, view.remaining),
                (ClientKind::Foreign, None, None),
                "{foreign:?}"
            );
        }
    }

    #[test]
    fn nothing_of_an_owner_s_id_is_shown() {
        let waiter = (b"dl2|0000000000000007|0000000000000000000000000000000a|30000=w%7C|".to_vec(), 1e6);
        let reply = (4_000_000, waiter.0.clone(), 5, 1, vec![waiter]);
        let seen = inspection(&reply);
        assert_eq!(seen.waiters.first().and_then(|it| it.waiting_for), Some(Duration::from_secs(3)));
        assert_eq!((seen.place, seen.holders.len()), (Some(2), 1));
        let text = format!("{seen:?}");
        assert!(!text.contains("000a") && !text.contains("0007") && text.contains("w|"), "{text}");
    }
}
