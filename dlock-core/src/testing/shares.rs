//! One case per promise of readers, writers and permits: of a backend that promises [`Guarantees::SHARES`].
//!
//! `conformance_suite!(fixture(), shares)` makes a test of each.

use super::conformance::{free_at_once, grant, poll_and_drop, unless_unsupported};
use super::fixture::Queued;
use super::{Fixture, Tap};
use crate::backend::{AcquireRequest, Backend, Claim, Grant, Mode, Reopening, Share};
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use crate::key::LockKey;
use crate::lease::{FencingToken, LossReason};
use crate::time::{Moment, sleep_until};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Readers of several processes have the key together, each under a token of its own.
pub async fn readers_hold_together(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("readers");
    let first = one.read(&key).await.unwrap();
    let second = other.read(&key).try_acquire().await.unwrap().expect("a reader fits beside a reader");
    let third = one.read(&key).try_acquire().await.unwrap().expect("in one process, too");
    assert!(first.token() < second.token() && second.token() < third.token());
    assert!([&first, &second, &third].iter().all(|reader| reader.is_valid()));
    for reader in [second, first, third] {
        assert!(one.write(&key).try_acquire().await.unwrap().is_none(), "a reader is left");
        reader.release().await.unwrap();
    }
    free_at_once(&other, &key).await;
}

/// I1: no plain lock is granted beside parts of the key, and no part beside a plain lock.
pub async fn a_lock_stays_out_while_parts_are_held(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("parts");
    let permits = one.semaphore(&key, 4);
    let permit = permits.acquire().await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none(), "a permit is out");
    assert!(other.read(&key).try_acquire().await.unwrap().is_none(), "readers are parts of another number");
    permit.release().await.unwrap();
    let reader = one.read(&key).await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none(), "a reader is there");
    assert!(one.lock(&key).try_acquire().await.unwrap().is_none(), "in its own process");
    reader.release().await.unwrap();
    let lock = other.lock(&key).await.unwrap();
    assert!(one.read(&key).try_acquire().await.unwrap().is_none(), "the key is locked");
    assert!(permits.try_acquire().await.unwrap().is_none(), "the key is locked");
    lock.release().await.unwrap();
    free_at_once(&one, &key).await;
}

/// I6: a reader that comes after a waiting writer does not pass it. Otherwise readers that overlap keep writers out for ever.
pub async fn a_waiting_writer_stops_later_readers(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("writer waits");
    let reading = take(&one, &fixture.claim(&key).with_share(Share::READER)).await;
    let writer = fixture.queued(&other, fixture.claim(&key)).await;
    let tried = try_for(&one, &fixture.claim(&key).with_share(Share::READER)).await;
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy, "a try passed a waiting writer");
    let later = fixture.queued(&one, fixture.claim(&key).with_share(Share::READER)).await;
    one.release(&reading).await.unwrap();
    let written = granted(fixture, writer).await;
    assert!(!later.is_granted(), "a reader beside a writer");
    other.release(&written.0).await.unwrap();
    let read = granted(fixture, later).await;
    assert!(read.1 > written.1);
    one.release(&read.0).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// I6: a release admits all that fit at the head of the queue, and none behind the first that does not.
pub async fn a_release_admits_those_that_fit_and_no_other(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("groups");
    let writer = take(&one, &fixture.claim(&key)).await;
    let claim = |share| fixture.claim(&key).with_share(share);
    let first = fixture.queued(&one, claim(Share::READER)).await;
    let second = fixture.queued(&other, claim(Share::READER)).await;
    let next = fixture.queued(&other, claim(Share::All)).await;
    let last = fixture.queued(&one, claim(Share::READER)).await;
    one.release(&writer).await.unwrap();
    let (first, second) = (granted(fixture, first).await, granted(fixture, second).await);
    assert!(!next.is_granted() && !last.is_granted(), "out of turn");
    one.release(&first.0).await.unwrap();
    assert!(!next.is_granted() && !last.is_granted(), "a reader is left");
    other.release(&second.0).await.unwrap();
    let next = granted(fixture, next).await;
    assert!(!last.is_granted(), "a reader beside a writer");
    assert!(first.1.max(second.1) < next.1, "{} after {} and {}", next.1, first.1, second.1);
    other.release(&next.0).await.unwrap();
    let last = granted(fixture, last).await;
    one.release(&last.0).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// I2: tokens rise in the order of all grants of a key, whatever their shares.
pub async fn tokens_rise_over_parts_and_all(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("tokens");
    let parts = [Share::READER, Share::READER, Share::All, part(2, 3), part(1, 3), Share::All, Share::READER];
    let (mut last, mut held): (_, Vec<(&Arc<dyn Backend>, Claim)>) = (None, Vec::new());
    for (share, backend) in parts.into_iter().zip([&one, &other].into_iter().cycle()) {
        if !share.fits(held.iter().map(|(_, claim)| claim.share)) {
            release_all(held.drain(..)).await;
        }
        let claim = fixture.claim(&key).with_share(share);
        let token = grant(backend, &claim).await;
        assert!(Some(token) > last, "{token} after {last:?}");
        last = Some(token);
        held.push((backend, claim));
    }
    release_all(held).await;
    assert_free(&one, fixture, &key).await;
}

/// I1 for a semaphore: the weights that are held never come to more than there is.
pub async fn no_more_permits_are_held_than_there_are(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("permits");
    let (here, there) = (one.semaphore(&key, 5), other.semaphore(&key, 5));
    let two = here.permits(2).await.unwrap();
    let three = there.permits(3).try_acquire().await.unwrap().expect("five in all");
    assert!(here.try_acquire().await.unwrap().is_none(), "all are out");
    two.release().await.unwrap();
    assert!(there.permits(3).try_acquire().await.unwrap().is_none(), "two are free");
    let two = there.permits(2).try_acquire().await.unwrap().expect("two are free");
    three.release().await.unwrap();
    two.release().await.unwrap();
    here.permits(5).try_acquire().await.unwrap().expect("all are back").release().await.unwrap();
}

/// I1 and I2 under contention: what readers, writers and holders of permits count together always fits.
pub async fn holders_always_fit_together_under_contention(fixture: &Fixture) {
    const TURNS: usize = 6;
    let key = fixture.key("contended");
    let shares =
        [Share::All, Share::READER, Share::READER, part(1, 3), part(2, 3), part(2, 3), Share::READER];
    let held = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for share in shares {
        let (locks, key, held) = (fixture.backend().await, key.clone(), Arc::clone(&held));
        let claims: Vec<_> = (0..TURNS).map(|_| fixture.claim(&key).with_share(share)).collect();
        tasks.spawn(async move {
            for claim in claims {
                locks.acquire(&AcquireRequest::new(claim.clone(), Mode::Wait)).await.unwrap();
                enter(&mut held.lock(), share);
                sleep_until(Moment::now().after(Duration::from_millis(2))).await;
                leave(&mut held.lock(), share);
                locks.release(&claim).await.unwrap();
            }
        });
    }
    while let Some(task) = fixture.soon("every holder had its turns", tasks.join_next()).await {
        task.expect("all holders fit together");
    }
    assert!(held.lock().is_empty());
}

fn enter(held: &mut Vec<Share>, share: Share) {
    assert!(share.fits(held.iter().copied()), "{share:?} beside {held:?}");
    held.push(share);
}

fn leave(held: &mut Vec<Share>, share: Share) {
    let place = held.iter().position(|other| *other == share);
    held.swap_remove(place.expect("it has entered"));
}

/// I6: a waiter for several permits is not passed by later ones for fewer. It does not starve, though permits are idle meanwhile.
pub async fn a_waiter_for_several_permits_is_not_passed(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("several permits");
    let claim = |weight| fixture.claim(&key).with_share(part(weight, 4));
    let (two, one_more) = (claim(2), claim(1));
    grant(&one, &two).await;
    grant(&other, &one_more).await;
    let several = fixture.queued(&other, claim(3)).await;
    let tried = try_for(&one, &claim(1)).await;
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy, "a try passed a waiter");
    let single = fixture.queued(&one, claim(1)).await;
    let pair = fixture.queued(&other, claim(2)).await;
    one.release(&two).await.unwrap();
    let several = granted(fixture, several).await;
    assert!(!single.is_granted() && !pair.is_granted(), "all are out");
    other.release(&several.0).await.unwrap();
    let (single, pair) = (granted(fixture, single).await, granted(fixture, pair).await);
    release_all([(&other, one_more), (&one, single.0), (&other, pair.0)]).await;
    assert_free(&one, fixture, &key).await;
}

/// Permits under another number are never held beside these: those wait until all of these are back, and are not passed.
pub async fn another_number_of_permits_waits_for_the_former_to_drain(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("two numbers");
    let claim = |of| fixture.claim(&key).with_share(part(1, of));
    let former = [(&one, claim(3)), (&other, claim(3))];
    for (backend, claim) in &former {
        grant(backend, claim).await;
    }
    let tried = try_for(&other, &claim(9)).await;
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy, "permits under two numbers");
    let raised = fixture.queued(&other, claim(9)).await;
    let tried = try_for(&one, &claim(3)).await;
    assert_eq!(tried.unwrap_err().kind(), ErrorKind::Busy, "a try passed a waiter");
    let behind = fixture.queued(&one, claim(3)).await;
    for (backend, claim) in former {
        assert!(!raised.is_granted() && !behind.is_granted());
        backend.release(&claim).await.unwrap();
    }
    let raised = granted(fixture, raised).await;
    assert!(!behind.is_granted(), "permits under two numbers");
    other.release(&raised.0).await.unwrap();
    let behind = granted(fixture, behind).await;
    one.release(&behind.0).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// I7: a part of a holder that died is free after its own lease, though another part of the key is renewed all the time.
pub async fn a_dead_part_costs_no_more_than_its_own_lease(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("dead part");
    die_with(fixture, &key, part(1, 2)).await;
    let (live, next) =
        (fixture.claim(&key).with_share(part(1, 2)), fixture.claim(&key).with_share(part(1, 2)));
    grant(&backend, &live).await;
    let next = fixture.queued(&backend, next).await;
    let renewing = async {
        while !next.is_granted() {
            backend.renew(&live).await.expect("it holds its part");
            sleep_until(Moment::now().after(Duration::from_millis(20))).await;
        }
    };
    fixture.soon("the dead one's permit is free", renewing).await;
    let next = granted(fixture, next).await;
    backend.release(&live).await.unwrap();
    backend.release(&next.0).await.unwrap();
    assert_free(&backend, fixture, &key).await;
}

/// I7, the same for readers: a writer waits for the live ones alone.
pub async fn a_dead_reader_is_not_kept_by_a_live_one(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let Some(admin) = backend.admin() else { return };
    let key = fixture.key("dead reader");
    let live = fixture.claim(&key).with_share(Share::READER);
    grant(&backend, &live).await;
    die_with(fixture, &key, Share::READER).await;
    let alone = async {
        while admin.inspect(&key, None).await.unwrap().holders.len() > 1 {
            backend.renew(&live).await.expect("it holds its part");
            sleep_until(Moment::now().after(Duration::from_millis(20))).await;
        }
    };
    fixture.soon("the dead reader is gone", alone).await;
    assert_eq!(try_for(&backend, &fixture.claim(&key)).await.unwrap_err().kind(), ErrorKind::Busy);
    backend.release(&live).await.unwrap();
    assert_free(&backend, fixture, &key).await;
}

/// A reader's lease is renewed while its guard lives, and only then.
pub async fn a_part_is_renewed_while_its_guard_lives(fixture: &Fixture) {
    let (one, other) = (fixture.brief(fixture.backend().await), fixture.process().await);
    let key = fixture.key("renewed part");
    let (reader, beside) = (one.read(&key).await.unwrap(), one.read(&key).await.unwrap());
    for _ in 0..2 {
        sleep_until(Moment::now().after(reader.remaining() + Duration::from_millis(10))).await;
        assert!(reader.is_valid() && beside.is_valid(), "not renewed in time");
        assert!(other.write(&key).try_acquire().await.unwrap().is_none());
    }
    beside.release().await.unwrap();
    assert!(other.write(&key).try_acquire().await.unwrap().is_none(), "the other reader is there");
    reader.release().await.unwrap();
    free_at_once(&other, &key).await;
}

/// I8 for parts: what was released is not made again by a renewal, and a renewal of one part is no other's.
pub async fn a_released_part_is_not_renewed_into_being(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("renewed after release");
    let (gone, held) =
        (fixture.claim(&key).with_share(Share::READER), fixture.claim(&key).with_share(Share::READER));
    grant(&backend, &gone).await;
    grant(&backend, &held).await;
    backend.release(&gone).await.unwrap();
    assert_eq!(backend.renew(&gone).await.unwrap_err().kind(), ErrorKind::Lost);
    backend.renew(&held).await.unwrap();
    backend.release(&held).await.unwrap();
    assert_free(&backend, fixture, &key).await;
}

/// I8: no owner releases or renews a part that is another's.
pub async fn only_the_owner_of_a_part_releases_it(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("owner of a part");
    let claim = || fixture.claim(&key).with_share(part(1, 2));
    let (first, second, stranger) = (claim(), claim(), claim());
    grant(&one, &first).await;
    grant(&other, &second).await;
    assert_eq!(other.release(&stranger).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(other.renew(&stranger).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(try_for(&one, &stranger).await.unwrap_err().kind(), ErrorKind::Busy, "both are out");
    one.renew(&first).await.expect("it has its part");
    one.release(&first).await.unwrap();
    other.renew(&second).await.expect("it has its part");
    other.release(&second).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// I5: a request for a part whose reply was lost is repeated, and there is one grant.
pub async fn an_owner_of_a_part_that_asks_again_gets_the_same_grant(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("asked again");
    let (claim, last) =
        (fixture.claim(&key).with_share(part(2, 3)), fixture.claim(&key).with_share(part(1, 3)));
    assert_eq!(grant(&backend, &claim).await, grant(&backend, &claim).await);
    grant(&backend, &last).await;
    backend.release(&claim).await.unwrap();
    backend.release(&last).await.unwrap();
    assert_free(&backend, fixture, &key).await;
}

/// I4: parts that are dropped, and waiters for parts that are, leave nothing.
pub async fn parts_that_are_dropped_leave_nothing(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("dropped parts");
    let (here, there) = (one.semaphore(&key, 3), other.semaphore(&key, 3));
    let two = here.permits(2).await.unwrap();
    for waiting in [there.permits(2), there.permits(3)] {
        let waiting = tokio::time::timeout(Duration::from_millis(100), waiting.acquire());
        assert!(waiting.await.is_err(), "one permit is free");
    }
    let ended = there.permits(3).wait(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::Busy, "{ended}");
    assert!(other.write(&key).wait(Duration::from_millis(100)).await.is_err());
    other.shutdown().await.unwrap();
    drop((two, here.acquire().await.unwrap()));
    let all = fixture.soon("the permits come back", here.permits(3).acquire()).await.unwrap();
    all.release().await.unwrap();
    free_at_once(&one, &key).await;
}

/// I4: a request for a part is polled n times and dropped, for every n up to its end.
pub async fn a_part_dropped_at_any_await_leaves_nothing(fixture: &Fixture) {
    let key = fixture.key("dropped at any await");
    let locks = fixture.process().await;
    let mut polls = 1;
    loop {
        let done = poll_and_drop(locks.semaphore(&key, 2).permits(2).acquire(), polls).await;
        let next = fixture.soon("all is free after the drop", locks.lock(&key).acquire()).await;
        next.unwrap().release().await.unwrap();
        if done {
            return;
        }
        polls += 1;
    }
}

/// I1: what has all of a key becomes a part without a moment in between. Waiters that fit and are ahead of the first that does not
/// enter; a queued writer does not.
pub async fn a_downgrade_lets_no_queued_writer_in(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("downgrade");
    let claim = |share| fixture.claim(&key).with_share(share);
    let (writing, reading) = (claim(Share::All), claim(Share::READER));
    let written = grant(&one, &writing).await;
    let ahead = fixture.queued(&other, claim(Share::READER)).await;
    let writer = fixture.queued(&other, claim(Share::All)).await;
    let behind = fixture.queued(&one, claim(Share::READER)).await;
    let read = fixture.soon("the downgrade", exchange(&one, &writing, &reading)).await.unwrap();
    assert!(read.token > written && read.valid_until > Moment::now(), "{read:?} after {written}");
    let ahead = granted(fixture, ahead).await;
    assert!(ahead.1 > read.token, "{} after {}", ahead.1, read.token);
    assert!(!writer.is_granted() && !behind.is_granted(), "out of turn");
    assert_eq!(one.renew(&writing).await.unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(one.release(&writing).await.unwrap_err().kind(), ErrorKind::Lost);
    one.renew(&reading).await.expect("it has its part");
    other.release(&ahead.0).await.unwrap();
    assert!(!writer.is_granted() && !behind.is_granted(), "a reader is left");
    one.release(&reading).await.unwrap();
    let writer = granted(fixture, writer).await;
    assert!(writer.1 > ahead.1 && !behind.is_granted());
    other.release(&writer.0).await.unwrap();
    let behind = granted(fixture, behind).await;
    one.release(&behind.0).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// A reader becomes a writer only if it is alone, and passes no waiting writer. One that does not stays what it is.
pub async fn an_upgrade_is_for_a_reader_that_is_alone(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("upgrade");
    let claim = |share| fixture.claim(&key).with_share(share);
    let (reading, beside, writing) = (claim(Share::READER), claim(Share::READER), claim(Share::All));
    let read = grant(&one, &reading).await;
    grant(&other, &beside).await;
    assert_eq!(exchange(&one, &reading, &writing).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(one.release(&writing).await.unwrap_err().kind(), ErrorKind::Lost, "it left nothing");
    one.renew(&reading).await.expect("it has what it had");
    other.release(&beside).await.unwrap();
    let waiter = fixture.queued(&other, claim(Share::All)).await;
    assert_eq!(exchange(&one, &reading, &writing).await.unwrap_err().kind(), ErrorKind::Busy);
    assert!(!waiter.is_granted());
    assert_eq!(other.release(&waiter.request.claim).await.unwrap_err().kind(), ErrorKind::Lost);
    drop(waiter);
    let written = exchange(&one, &reading, &writing).await.expect("it is alone");
    assert!(written.token > read, "{} after {read}", written.token);
    assert_eq!(try_for(&other, &beside).await.unwrap_err().kind(), ErrorKind::Busy, "all of it is held");
    assert_eq!(one.renew(&reading).await.unwrap_err().kind(), ErrorKind::Lost);
    one.renew(&writing).await.expect("it has all of it");
    one.release(&writing).await.unwrap();
    assert_free(&one, fixture, &key).await;
}

/// I5: an exchange that is repeated gives the same grant, and one without a grant to give up gives none.
pub async fn an_exchange_that_is_repeated_gives_the_same_grant(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("exchange again");
    let (held, wanted) = (fixture.claim(&key), fixture.claim(&key).with_share(Share::READER));
    let nothing = exchange(&backend, &held, &wanted).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Lost, "{nothing}");
    grant(&backend, &held).await;
    let first = exchange(&backend, &held, &wanted).await.unwrap();
    let again = exchange(&backend, &held, &wanted).await.unwrap();
    assert_eq!(first.token, again.token);
    backend.release(&wanted).await.unwrap();
    assert_free(&backend, fixture, &key).await;
}

/// I4, I5: an exchange is polled n times and dropped. Then its outcome is not known, and the releases of both owners leave nothing.
pub async fn an_exchange_dropped_at_any_await_leaves_nothing(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("exchange dropped");
    let mut polls = 1;
    loop {
        let (held, wanted) = (fixture.claim(&key), fixture.claim(&key).with_share(Share::READER));
        grant(&backend, &held).await;
        let done = poll_and_drop(exchange(&backend, &held, &wanted), polls).await;
        for claim in [&held, &wanted] {
            let _ = backend.release(claim).await;
        }
        let next = Fixture::waiting(&backend, fixture.claim(&key));
        let next = granted(fixture, next).await;
        backend.release(&next.0).await.unwrap();
        if done {
            return;
        }
        polls += 1;
    }
}

/// An inspection shows which share each holder has, and which each waiter wants.
pub async fn an_inspection_tells_the_shares(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("inspected");
    let Some(admin) = other.admin() else { return };
    let claim = |share| fixture.claim(&key).with_share(share);
    let (first, second) = (claim(part(1, 8)), claim(part(5, 8)));
    grant(&one, &first).await;
    grant(&other, &second).await;
    let next = fixture.queued(&one, claim(part(3, 8))).await;
    let reader = fixture.queued(&other, claim(Share::READER)).await;
    let writer = fixture.queued(&one, claim(Share::All)).await;
    let Some(seen) = unless_unsupported(admin.inspect(&key, None).await) else { return };
    let mut holders: Vec<_> = seen.holders.iter().map(|holder| holder.share.weight()).collect();
    holders.sort_unstable();
    assert_eq!(holders, [1, 5], "{seen:?}");
    assert!(seen.holders.iter().all(|holder| holder.token.is_some()), "{seen:?}");
    let waiters: Vec<_> = seen.waiters.iter().map(|waiter| waiter.share).collect();
    assert_eq!(waiters, [part(3, 8), Share::READER, Share::All], "{seen:?}");
    for (backend, waiter) in [(&other, reader), (&one, writer)] {
        assert_eq!(backend.release(&waiter.request.claim).await.unwrap_err().kind(), ErrorKind::Lost);
    }
    one.release(&first).await.unwrap();
    let next = granted(fixture, next).await;
    release_all([(&other, second), (&one, next.0)]).await;
    assert!(admin.inspect(&key, None).await.unwrap().is_free());
}

/// A part is taken away from its holder alone, and the others keep theirs.
pub async fn a_part_is_taken_away_from_its_holder_alone(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("forced");
    let (taken, kept) = (one.read(&key).await.unwrap(), other.read(&key).await.unwrap());
    let writer = fixture.backend().await;
    let Some(admin) = writer.admin() else { return };
    let forced = admin.force_release(&key, taken.token(), Reopening::Now).await;
    let Some(forced) = unless_unsupported(forced) else { return };
    assert!(forced.fence > taken.token(), "{} after {}", forced.fence, taken.token());
    fixture.soon("the holder finds out", taken.lost()).await;
    assert!(kept.is_valid(), "it is another's part");
    assert!(other.write(&key).try_acquire().await.unwrap().is_none(), "a reader is left");
    kept.release().await.expect("it was left alone");
    free_at_once(&other, &key).await;
}

/// I1: the next owner has a permit that was taken away once the guard of the former one is over, and no sooner.
pub async fn a_part_taken_away_stays_closed_until_its_guard_is_over(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("forced");
    let kept = other.semaphore(&key, 2).acquire().await.unwrap();
    let taken = one.semaphore(&key, 2).acquire().await.unwrap();
    let forced = other.admin().force_release(&key, taken.token()).await;
    let Some(forced) = unless_unsupported(forced) else { return };
    assert!(forced.fence > taken.token(), "{} after {}", forced.fence, taken.token());
    let next =
        fixture.soon("the permit is free", other.semaphore(&key, 2).acquire().acquire()).await.unwrap();
    assert!(!taken.is_valid(), "three valid guards of two permits");
    assert!(kept.is_valid() && next.is_valid() && next.token() >= forced.fence);
    next.release().await.unwrap();
    kept.release().await.expect("it was left alone");
}

/// A list names a key that is held in parts.
pub async fn a_list_names_a_key_that_is_held_in_parts(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("listed:parts");
    let (first, second) = (one.read(&key).await.unwrap(), other.read(&key).await.unwrap());
    let listed = async || {
        let (mut list, mut keys) = (other.list(&key), Vec::new());
        while let Some(page) = unless_unsupported(list.next_page().await)? {
            keys.extend(page.into_iter().map(|lock| (lock.key, lock.holder.share)));
        }
        keys.dedup();
        Some(keys)
    };
    let Some(both) = listed().await else { return };
    assert_eq!(both, [(key.clone(), Share::READER)]);
    first.release().await.unwrap();
    assert_eq!(listed().await.unwrap(), [(key.clone(), Share::READER)], "a reader is left");
    second.release().await.unwrap();
    assert_eq!(listed().await.unwrap(), []);
}

/// I7 for work that hangs: its part is lost after `max_hold`, and the others keep theirs.
pub async fn a_part_that_is_held_too_long_is_lost_alone(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("held too long");
    let kept = other.semaphore(&key, 2).acquire().await.unwrap();
    let hung = one.semaphore(&key, 2).acquire().max_hold(Duration::from_millis(100)).await.unwrap();
    assert_eq!(fixture.soon("the permit is lost", hung.lost()).await, LossReason::MaxHold);
    let next = fixture.soon("it comes back", other.semaphore(&key, 2).acquire().acquire()).await.unwrap();
    assert!(next.token() > hung.token() && kept.is_valid());
    assert_eq!(hung.release().await.unwrap_err().kind(), ErrorKind::Lost);
    next.release().await.unwrap();
    kept.release().await.expect("it was left alone");
    free_at_once(&one, &key).await;
}

/// I3 for parts: the deadline ends a reader's lease, whatever the network does.
pub async fn a_part_that_cannot_be_renewed_is_lost_at_its_deadline(fixture: &Fixture) {
    let tap = Tap::new(fixture.backend().await);
    let key = fixture.key("cut off");
    let reader = fixture.brief(Arc::clone(&tap)).read(&key).await.unwrap();
    let beside = fixture.process().await.read(&key).await.unwrap();
    tap.cut();
    assert_eq!(fixture.soon("the lease is lost", reader.lost()).await, LossReason::Expired);
    assert!(!reader.is_valid() && beside.is_valid());
    beside.release().await.unwrap();
}

/// Locks, readers and permits of one key inside a few processes: each has its turns, and what their guards count fits together. So
/// what is handed over inside a process goes on beside parts.
pub async fn guards_of_all_kinds_fit_together(fixture: &Fixture) {
    const TURNS: usize = 8;
    let key = fixture.key("all kinds");
    let (writers, readers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for locks in [fixture.process().await, fixture.process().await] {
        for _ in 0..3 {
            let (locks, key) = (locks.clone(), key.clone());
            let (writers, readers) = (Arc::clone(&writers), Arc::clone(&readers));
            tasks.spawn(async move {
                for turn in 0..TURNS {
                    let writer = locks.lock(&key).await.unwrap();
                    assert_eq!(writers.fetch_add(1, Ordering::SeqCst), 0, "two writers");
                    assert_eq!(readers.load(Ordering::SeqCst), 0, "a reader beside a writer");
                    tokio::task::yield_now().await;
                    writers.fetch_sub(1, Ordering::SeqCst);
                    if turn % 2 == 0 {
                        // Counted from before the downgrade, so that no writer may come in between.
                        readers.fetch_add(1, Ordering::SeqCst);
                        let reader = writer.downgrade().await.unwrap();
                        assert_eq!(writers.load(Ordering::SeqCst), 0, "a writer beside a reader");
                        readers.fetch_sub(1, Ordering::SeqCst);
                        reader.release().await.unwrap();
                    } else {
                        writer.release().await.unwrap();
                    }
                    let reader = locks.read(&key).await.unwrap();
                    readers.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(writers.load(Ordering::SeqCst), 0, "a writer beside a reader");
                    tokio::task::yield_now().await;
                    readers.fetch_sub(1, Ordering::SeqCst);
                    reader.release().await.unwrap();
                }
            });
        }
    }
    while let Some(task) = fixture.soon("every guard had its turns", tasks.join_next()).await {
        task.expect("all guards fit together");
    }
    free_at_once(&fixture.process().await, &key).await;
}

/// A backend that promises shares keeps them, and any other says so.
pub async fn shares_are_promised_where_they_are_kept(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("promised");
    let (held, wanted) = (fixture.claim(&key), fixture.claim(&key).with_share(Share::READER));
    grant(&backend, &held).await;
    let exchanged = exchange(&backend, &held, &wanted).await;
    let promised = backend.guarantees().contains(Guarantees::SHARES);
    let refused = exchanged.map_or_else(|error| error.kind() == ErrorKind::Unsupported, |_| false);
    assert_eq!(promised, !refused);
    backend.release(if promised { &wanted } else { &held }).await.unwrap();
    let read = fixture.process().await.read(&key).await;
    assert_eq!(promised, !read.is_err_and(|error| error.kind() == ErrorKind::Unsupported));
}

fn part(weight: u32, of: u32) -> Share {
    let number = |number| NonZeroU32::new(number).expect("more than zero");
    Share::Part { weight: number(weight), of: number(of) }
}

/// The claim, once it is granted.
async fn take(backend: &Arc<dyn Backend>, claim: &Claim) -> Claim {
    grant(backend, claim).await;
    claim.clone()
}

async fn try_for(backend: &Arc<dyn Backend>, claim: &Claim) -> Result<Grant, LockError> {
    backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await
}

async fn exchange(backend: &Arc<dyn Backend>, held: &Claim, wanted: &Claim) -> Result<Grant, LockError> {
    backend.exchange(held, &AcquireRequest::new(wanted.clone(), Mode::Try)).await
}

/// What a waiter claimed, and the token that it is granted soon.
async fn granted(fixture: &Fixture, waiter: Queued) -> (Claim, FencingToken) {
    let claim = waiter.request.claim.clone();
    let grant = fixture.soon("the waiter is granted its share", waiter.grant()).await;
    (claim, grant.token)
}

/// A process that takes a part and dies: nothing renews and nothing releases.
async fn die_with(fixture: &Fixture, key: &LockKey, share: Share) {
    let backend = fixture.backend().await;
    grant(&backend, &fixture.brief_claim(key).with_share(share)).await;
}

/// Each by the process that has it.
async fn release_all(held: impl IntoIterator<Item = (&Arc<dyn Backend>, Claim)>) {
    for (backend, claim) in held {
        backend.release(&claim).await.unwrap();
    }
}

/// Nothing of the key is held or waited for.
async fn assert_free(backend: &Arc<dyn Backend>, fixture: &Fixture, key: &LockKey) {
    let claim = fixture.claim(key);
    try_for(backend, &claim).await.unwrap_or_else(|error| panic!("something is left of {key}: {error}"));
    backend.release(&claim).await.unwrap();
}
