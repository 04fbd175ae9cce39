//! One case per promise.

use super::{Fixture, Tap};
use crate::backend::{AcquireRequest, Backend, Claim, Mode, Reopening};
use crate::error::{ErrorKind, LockError, Operation};
use crate::guarantees::Guarantees;
use crate::key::LockKey;
use crate::label::Label;
use crate::lease::{GuardState, LossReason};
use crate::manager::LockManager;
use crate::time::{Moment, sleep_until};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Makes a `#[tokio::test]` of every case of [`testing::conformance`](crate::testing::conformance).
///
/// The argument is an expression that gives the [`Fixture`](crate::testing::Fixture) of one case. To be used
/// in a module of its own, in a crate that depends on tokio. A second argument `without_queue` leaves out the
/// cases of the order among waiters (I6), for a backend that says that it keeps none. A second argument `shares` makes
/// the cases of [`testing::shares`](crate::testing::shares) instead, for a backend that promises
/// [`Guarantees::SHARES`](crate::Guarantees::SHARES).
///
/// ```
/// # #[cfg(test)]
/// mod my_backend {
///     use dlock_core::EmbeddedBackend;
///     use dlock_core::testing::Fixture;
///
///     fn fixture() -> Fixture {
///         let store = EmbeddedBackend::new();
///         Fixture::new(move || std::future::ready(store.clone()))
///     }
///
///     dlock_core::conformance_suite!(fixture());
/// }
/// ```
#[macro_export]
macro_rules! conformance_suite {
    ($fixture:expr) => {
        $crate::conformance_suite!($fixture, without_queue);
        $crate::conformance_suite!(@cases $fixture;
            waiters_are_served_in_order_of_arrival
            waiters_of_several_processes_are_served_in_order_of_arrival
            a_try_does_not_pass_the_queue
            a_waiter_that_leaves_keeps_the_others_in_order
            an_inspection_names_the_waiters_in_order
            a_queue_that_is_kept_is_promised
        );
    };
    ($fixture:expr, without_queue) => {
        $crate::conformance_suite!(@cases $fixture;
            a_held_lock_is_refused_to_everybody
            holders_never_overlap_under_contention
            tokens_rise_from_holder_to_holder
            tokens_rise_past_a_dead_holder
            a_block_of_tokens_is_promised_where_grants_have_one
            a_try_that_is_refused_leaves_nothing
            a_wait_that_ends_is_busy_and_leaves_nothing
            a_dead_holder_costs_no_more_than_its_lease
            only_the_owner_releases
            only_the_owner_renews
            a_released_lock_is_not_renewed_into_being
            an_owner_that_asks_again_gets_the_same_grant
            what_is_answered_at_once_is_an_answer
            an_acquire_dropped_while_waiting_leaves_nothing
            an_acquire_dropped_at_any_await_leaves_nothing
            a_dropped_guard_frees_the_lock
            a_guard_dropped_outside_a_runtime_frees_the_lock
            a_lease_is_renewed_while_its_guard_lives
            a_lease_that_cannot_be_renewed_is_lost_at_its_deadline
            a_guard_whose_renewal_fails_is_suspect_until_one_succeeds
            a_guard_that_is_held_too_long_is_lost_and_its_lock_goes_on
            a_lock_taken_away_is_lost
            work_under_a_lost_lock_is_dropped
            releasing_a_lost_lock_says_so
            shutdown_flushes_releases_and_releases_what_is_held
            close_turns_waiters_away
            odd_keys_are_locks_of_their_own
            a_key_of_two_namespaces_is_two_locks
            wrong_keys_are_refused
            errors_name_key_operation_and_backend
            an_inspection_names_the_holder
            a_wait_that_ends_says_who_held_it
            a_list_names_the_locks_that_are_held
            a_lock_taken_away_stays_closed_until_its_guard_is_over
            a_lock_taken_away_now_is_the_next_waiter_s
            a_lock_is_taken_away_from_the_holder_of_the_token_alone
        );
        $crate::conformance_suite!(@in shares, $fixture; shares_are_promised_where_they_are_kept);
    };
    ($fixture:expr, shares) => {
        $crate::conformance_suite!(@in shares, $fixture;
            readers_hold_together
            a_lock_stays_out_while_parts_are_held
            a_waiting_writer_stops_later_readers
            a_release_admits_those_that_fit_and_no_other
            tokens_rise_over_parts_and_all
            no_more_permits_are_held_than_there_are
            holders_always_fit_together_under_contention
            a_waiter_for_several_permits_is_not_passed
            another_number_of_permits_waits_for_the_former_to_drain
            a_dead_part_costs_no_more_than_its_own_lease
            a_dead_reader_is_not_kept_by_a_live_one
            a_part_is_renewed_while_its_guard_lives
            a_released_part_is_not_renewed_into_being
            only_the_owner_of_a_part_releases_it
            an_owner_of_a_part_that_asks_again_gets_the_same_grant
            parts_that_are_dropped_leave_nothing
            a_part_dropped_at_any_await_leaves_nothing
            a_downgrade_lets_no_queued_writer_in
            an_upgrade_is_for_a_reader_that_is_alone
            an_exchange_that_is_repeated_gives_the_same_grant
            an_exchange_dropped_at_any_await_leaves_nothing
            an_inspection_tells_the_shares
            a_part_is_taken_away_from_its_holder_alone
            a_part_taken_away_stays_closed_until_its_guard_is_over
            a_list_names_a_key_that_is_held_in_parts
            a_part_that_is_held_too_long_is_lost_alone
            a_part_that_cannot_be_renewed_is_lost_at_its_deadline
            guards_of_all_kinds_fit_together
        );
    };
    (@cases $fixture:expr; $($case:ident)+) => {
        $crate::conformance_suite!(@in conformance, $fixture; $($case)+);
    };
    (@in $module:ident, $fixture:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::testing::$module::$case(&$fixture).await;
            }
        )+
    };
}

/// I1: no request is granted a lock that is held, in the holder's process or elsewhere.
pub async fn a_held_lock_is_refused_to_everybody(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("held");
    let guard = one.lock(&key).await.unwrap();
    assert!(one.lock(&key).try_acquire().await.unwrap().is_none(), "its own process");
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none(), "another process");
    assert!(guard.is_valid());
    guard.release().await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_some(), "free again");
}

/// I1 and I2 under contention: holders that count themselves are never two, and see rising tokens.
pub async fn holders_never_overlap_under_contention(fixture: &Fixture) {
    const TASKS: usize = 6;
    const TURNS: usize = 8;
    let key = fixture.key("contended");
    let inside = Arc::new(AtomicUsize::new(0));
    let tokens = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let (locks, key) = (fixture.process().await, key.clone());
        let (inside, tokens) = (Arc::clone(&inside), Arc::clone(&tokens));
        tasks.spawn(async move {
            for _ in 0..TURNS {
                let guard = locks.lock(&key).await.unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders at once");
                tokens.lock().push(guard.token());
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    while let Some(task) = fixture.soon("every holder had its turns", tasks.join_next()).await {
        task.expect("no holder saw another one");
    }
    let tokens = tokens.lock();
    assert_eq!(tokens.len(), TASKS * TURNS);
    assert!(tokens.is_sorted_by(|one, next| one < next), "tokens in grant order: {tokens:?}");
}

/// I2.
pub async fn tokens_rise_from_holder_to_holder(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("tokens");
    let mut last = None;
    for locks in [&one, &other, &one, &one, &other] {
        let guard = locks.lock(&key).await.unwrap();
        assert!(Some(guard.token()) > last, "{} after {last:?}", guard.token());
        last = Some(guard.token());
        guard.release().await.unwrap();
    }
}

/// I2 and I7: what comes after a holder that died has a greater token.
pub async fn tokens_rise_past_a_dead_holder(fixture: &Fixture) {
    let key = fixture.key("tokens past a dead holder");
    let dead = die_holding(fixture, &key).await;
    let guard = fixture.process().await.lock(&key).await.unwrap();
    assert!(guard.token() > dead, "{} after {dead}", guard.token());
}

/// What a hand-over inside a process lives on.
pub async fn a_block_of_tokens_is_promised_where_grants_have_one(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let claim = fixture.claim(&fixture.key("block of tokens"));
    let granted = backend.acquire(&AcquireRequest::new(claim.clone(), Mode::Try)).await.unwrap();
    assert_eq!(backend.guarantees().contains(Guarantees::TOKEN_BLOCKS), granted.tokens > 1, "{granted:?}");
    backend.release(&claim).await.unwrap();
}

/// I6.
pub async fn a_queue_that_is_kept_is_promised(fixture: &Fixture) {
    assert!(fixture.backend().await.guarantees().contains(Guarantees::QUEUE));
}

/// I6, in one process.
pub async fn waiters_are_served_in_order_of_arrival(fixture: &Fixture) {
    let backend = fixture.backend().await;
    serve_in_order(fixture, "queue", &[&backend, &backend, &backend, &backend]).await;
}

/// I6, between processes.
pub async fn waiters_of_several_processes_are_served_in_order_of_arrival(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    serve_in_order(fixture, "queue of processes", &[&one, &other, &other, &one]).await;
}

async fn serve_in_order(fixture: &Fixture, key: &str, backends: &[&Arc<dyn Backend>]) {
    let key = fixture.key(key);
    let holder = fixture.process().await.lock(&key).await.unwrap();
    let mut queue = Vec::new();
    for backend in backends {
        queue.push((*backend, fixture.queued(backend, fixture.claim(&key)).await));
    }
    let mut last = holder.token();
    holder.release().await.unwrap();
    while !queue.is_empty() {
        let (backend, first) = queue.remove(0);
        let claim = first.request.claim.clone();
        let grant = fixture.soon("the first in the queue is granted", first.grant()).await;
        assert!(queue.iter().all(|(_, waiter)| !waiter.is_granted()), "granted out of turn");
        assert!(grant.token > last, "{} after {last}", grant.token);
        last = grant.token;
        backend.release(&claim).await.unwrap();
    }
}

/// I6: who tries cannot overtake who waits, even in the moment the lock changes hands.
pub async fn a_try_does_not_pass_the_queue(fixture: &Fixture) {
    let (backend, rival) = (fixture.backend().await, fixture.process().await);
    let key = fixture.key("try and queue");
    let holder = fixture.process().await.lock(&key).await.unwrap();
    let waiter = fixture.queued(&backend, fixture.claim(&key)).await;
    let claim = waiter.request.claim.clone();
    holder.release().await.unwrap();
    assert!(rival.lock(&key).try_acquire().await.unwrap().is_none(), "a try passed a waiter");
    fixture.soon("the waiter is granted", waiter.grant()).await;
    backend.release(&claim).await.unwrap();
}

/// I4 for a try.
pub async fn a_try_that_is_refused_leaves_nothing(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("refused try");
    let guard = one.lock(&key).await.unwrap();
    assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
    guard.release().await.unwrap();
    free_at_once(&one, &key).await;
}

/// I4 and I10 for a wait.
pub async fn a_wait_that_ends_is_busy_and_leaves_nothing(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("ended wait");
    let guard = one.lock(&key).await.unwrap();
    let ended =
        fixture.soon("the wait ends", other.lock(&key).wait(Duration::from_millis(300)).acquire()).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Busy);
    other.shutdown().await.unwrap();
    guard.release().await.unwrap();
    free_at_once(&one, &key).await;
}

/// I7.
pub async fn a_dead_holder_costs_no_more_than_its_lease(fixture: &Fixture) {
    let key = fixture.key("dead holder");
    die_holding(fixture, &key).await;
    let locks = fixture.process().await;
    let guard = fixture.soon("a dead holder's lock is granted", locks.lock(&key).acquire()).await;
    assert!(guard.unwrap().is_valid());
}

/// I8 for a release.
pub async fn only_the_owner_releases(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("owner releases");
    let (holder, stranger) = (fixture.claim(&key), fixture.claim(&key));
    grant(&one, &holder).await;
    for backend in [&one, &other] {
        let refused = backend.release(&stranger).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Lost, "{refused}");
    }
    one.renew(&holder).await.expect("the holder still has it");
    one.release(&holder).await.unwrap();
}

/// I8 for a renewal.
pub async fn only_the_owner_renews(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("owner renews");
    let (holder, stranger) = (fixture.claim(&key), fixture.claim(&key));
    grant(&backend, &holder).await;
    assert_eq!(backend.renew(&stranger).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(backend.renew(&holder).await.unwrap() > Moment::now());
    backend.release(&holder).await.unwrap();
}

/// I8: a lock that is gone is not made again by its old owner.
pub async fn a_released_lock_is_not_renewed_into_being(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("renewed after release");
    let holder = fixture.claim(&key);
    grant(&backend, &holder).await;
    backend.release(&holder).await.unwrap();
    assert_eq!(backend.renew(&holder).await.unwrap_err().kind(), ErrorKind::Lost);
    free_at_once(&fixture.process().await, &key).await;
}

/// I5: a request whose reply was lost is repeated, and there is one grant.
pub async fn an_owner_that_asks_again_gets_the_same_grant(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("asked again");
    let claim = fixture.claim(&key);
    let first = grant(&backend, &claim).await;
    let again = grant(&backend, &claim).await;
    assert_eq!(first, again);
    backend.release(&claim).await.unwrap();
    free_at_once(&fixture.process().await, &key).await;
}

/// I1, I8: an answer at once counts as much as an answer to a request, in either order. A backend that does not answer
/// at once leaves nothing.
pub async fn what_is_answered_at_once_is_an_answer(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("at-once");
    let [first, second, third] = [(); 3].map(|()| fixture.claim(&key));
    one.acquire(&AcquireRequest::new(first.clone(), Mode::Try)).await.unwrap();
    assert!(other.acquire_at_once(&second, Moment::now()).is_none(), "the first has it by a request");
    let not_its_own = other.release_at_once(&second, Moment::now());
    assert!(not_its_own.is_none_or(|released| released.unwrap_err().kind() == ErrorKind::Lost));
    release(&*one, &first).await;
    if other.acquire_at_once(&second, Moment::now()).is_none() {
        other.acquire(&AcquireRequest::new(second.clone(), Mode::Try)).await.unwrap();
    }
    let refused = one.acquire(&AcquireRequest::new(third.clone(), Mode::Try)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy, "the second has it");
    release(&*other, &second).await;
    one.acquire(&AcquireRequest::new(third.clone(), Mode::Try)).await.unwrap();
    one.release(&third).await.unwrap();
}

/// Releases what is held, at once if that is possible.
async fn release(backend: &dyn Backend, claim: &Claim) {
    match backend.release_at_once(claim, Moment::now()) {
        Some(released) => released.unwrap(),
        None => backend.release(claim).await.unwrap(),
    }
}

/// I4 for a waiter whose future is dropped.
pub async fn an_acquire_dropped_while_waiting_leaves_nothing(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("dropped while waiting");
    let guard = one.lock(&key).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(100), other.lock(&key).acquire());
    assert!(waiting.await.is_err(), "the lock is held");
    other.shutdown().await.unwrap();
    guard.release().await.unwrap();
    free_at_once(&one, &key).await;
}

/// I4: an acquire is polled n times and dropped, for every n up to its end.
pub async fn an_acquire_dropped_at_any_await_leaves_nothing(fixture: &Fixture) {
    let key = fixture.key("dropped at any await");
    let locks = fixture.process().await;
    let mut polls = 1;
    loop {
        let done = poll_and_drop(locks.lock(&key).acquire(), polls).await;
        let next = fixture.soon("the lock is free after the drop", locks.lock(&key).acquire()).await;
        next.unwrap().release().await.unwrap();
        if done {
            return;
        }
        polls += 1;
    }
}

/// I4 and I6: a waiter in the middle leaves.
pub async fn a_waiter_that_leaves_keeps_the_others_in_order(fixture: &Fixture) {
    let backend = fixture.backend().await;
    let key = fixture.key("waiter leaves");
    let holder = fixture.claim(&key);
    grant(&backend, &holder).await;
    let first = fixture.queued(&backend, fixture.claim(&key)).await;
    let leaver = fixture.queued(&backend, fixture.claim(&key)).await;
    let last = fixture.queued(&backend, fixture.claim(&key)).await;
    assert_eq!(backend.release(&leaver.request.claim).await.unwrap_err().kind(), ErrorKind::Lost);
    drop(leaver);
    backend.release(&holder).await.unwrap();
    let claim = first.request.claim.clone();
    let token = fixture.soon("the first waiter is granted", first.grant()).await.token;
    assert!(!last.is_granted(), "that the one ahead left is no turn");
    backend.release(&claim).await.unwrap();
    let claim = last.request.claim.clone();
    assert!(fixture.soon("the last waiter is granted", last.grant()).await.token > token);
    backend.release(&claim).await.unwrap();
}

/// I9.
pub async fn a_dropped_guard_frees_the_lock(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("dropped guard");
    drop(one.lock(&key).await.unwrap());
    let next = fixture.soon("the lock is free after the drop", other.lock(&key).acquire()).await;
    assert!(next.unwrap().is_valid());
}

/// I9.
pub async fn a_guard_dropped_outside_a_runtime_frees_the_lock(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let key = fixture.key("dropped outside");
    let guard = one.lock(&key).await.unwrap();
    let thread = std::thread::spawn(move || drop(guard));
    tokio::task::spawn_blocking(move || thread.join()).await.unwrap().expect("the drop did not panic");
    let next = fixture.soon("the lock is free after the drop", other.lock(&key).acquire()).await;
    assert!(next.unwrap().is_valid());
}

/// A guard outlives its first lease by renewal, and the lock stays closed.
pub async fn a_lease_is_renewed_while_its_guard_lives(fixture: &Fixture) {
    let (one, other) = (fixture.brief(fixture.backend().await), fixture.process().await);
    let key = fixture.key("renewed");
    let guard = one.lock(&key).await.unwrap();
    for _ in 0..2 {
        sleep_until(Moment::now().after(guard.remaining() + Duration::from_millis(10))).await;
        assert!(guard.is_valid(), "not renewed in time");
        assert!(other.lock(&key).try_acquire().await.unwrap().is_none());
    }
    guard.release().await.unwrap();
}

/// I3: the deadline ends the lease, whatever the network does.
pub async fn a_lease_that_cannot_be_renewed_is_lost_at_its_deadline(fixture: &Fixture) {
    let tap = Tap::new(fixture.backend().await);
    let guard = fixture.brief(Arc::clone(&tap)).lock(fixture.key("cut off")).await.unwrap();
    tap.cut();
    assert_eq!(fixture.soon("the lease is lost", guard.lost()).await, LossReason::Expired);
    assert!(!guard.is_valid());
    assert_eq!(guard.state(), GuardState::Lost(LossReason::Expired));
    assert_eq!(guard.remaining(), Duration::ZERO);
}

/// Held, suspect and held again: a failed renewal says nothing about the lease, and the holder is told of it.
pub async fn a_guard_whose_renewal_fails_is_suspect_until_one_succeeds(fixture: &Fixture) {
    let tap = Tap::new(fixture.backend().await);
    let guard = fixture.short(Arc::clone(&tap)).lock(fixture.key("suspect")).await.unwrap();
    assert_eq!(guard.state(), GuardState::Held);
    tap.cut();
    let suspect = fixture.soon("a renewal fails", guard.state_changed(GuardState::Held)).await;
    assert_eq!(suspect, GuardState::Suspect);
    assert!(guard.is_valid(), "in doubt, not lost");
    tap.restore();
    let held = fixture.soon("a renewal succeeds", guard.state_changed(GuardState::Suspect)).await;
    assert_eq!(held, GuardState::Held);
    guard.release().await.unwrap();
}

/// I7 for work that hangs: its guard is lost after `max_hold`, and others of its process and of another one have the lock
/// once its lease is over, while the guard is there.
pub async fn a_guard_that_is_held_too_long_is_lost_and_its_lock_goes_on(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("held too long");
    let hung = one.lock(&key).max_hold(Duration::from_millis(100)).await.unwrap();
    assert_eq!(fixture.soon("the guard is lost", hung.lost()).await, LossReason::MaxHold);
    assert_eq!(hung.state(), GuardState::Lost(LossReason::MaxHold));
    let mut last = hung.token();
    for locks in [&one, &other] {
        let next = fixture.soon("the lock goes on", locks.lock(&key).acquire()).await.unwrap();
        assert!(next.token() > last, "{} after {last}", next.token());
        last = next.token();
        next.release().await.unwrap();
    }
    assert_eq!(hung.release().await.unwrap_err().kind(), ErrorKind::Lost);
}

/// The backend's word that the owner has lost the lock ends the lease.
pub async fn a_lock_taken_away_is_lost(fixture: &Fixture) {
    let (guard, _tap) = guard_to_be_lost(fixture, "taken away").await;
    assert_eq!(fixture.soon("the lease is lost", guard.lost()).await, LossReason::NotOwner);
    assert!(!guard.is_valid());
}

/// What runs under a lock does not outlive it.
pub async fn work_under_a_lost_lock_is_dropped(fixture: &Fixture) {
    let (guard, _tap) = guard_to_be_lost(fixture, "work").await;
    let outcome = fixture.soon("the work is dropped", guard.run(std::future::pending::<()>())).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Lost);
}

/// A release reports what the holder should know.
pub async fn releasing_a_lost_lock_says_so(fixture: &Fixture) {
    let (guard, _tap) = guard_to_be_lost(fixture, "lost before release").await;
    fixture.soon("the lease is lost", guard.lost()).await;
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
}

/// What a manager had, and was giving back, is free when its shutdown is over.
pub async fn shutdown_flushes_releases_and_releases_what_is_held(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let keys: Vec<_> = (0..10).map(|number| fixture.key(&format!("shutdown {number}"))).collect();
    let mut guards = Vec::new();
    for key in &keys {
        guards.push(one.lock(key).await.unwrap());
    }
    drop(guards.split_off(5));
    fixture.soon("the shutdown ends", one.shutdown()).await.unwrap();
    assert!(guards.iter().all(|guard| !guard.is_valid()), "held locks read as lost");
    for key in &keys {
        free_at_once(&other, key).await;
    }
    assert_eq!(one.lock(fixture.key("late")).await.unwrap_err().kind(), ErrorKind::Closed);
}

/// Who waits when the manager is closed is told at once.
pub async fn close_turns_waiters_away(fixture: &Fixture) {
    let locks = fixture.process().await;
    let key = fixture.key("closed");
    let guard = locks.lock(&key).await.unwrap();
    let waiter = tokio::spawn(locks.lock(&key).acquire());
    tokio::task::yield_now().await;
    locks.close();
    let turned_away = fixture.soon("the waiter is told", waiter).await.unwrap();
    assert_eq!(turned_away.unwrap_err().kind(), ErrorKind::Closed);
    assert!(guard.is_valid(), "who holds goes on holding");
    guard.release().await.unwrap();
}

/// Keys that are special somewhere are ordinary here, and none stands for another.
pub async fn odd_keys_are_locks_of_their_own(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.process().await);
    let longest = fixture.longest_key();
    let odd: [&[u8]; 27] = [
        b"a",
        b"A",
        b"/",
        b".",
        b"..",
        b"a/b",
        b"a/../b",
        b"a%2Fb",
        b"%2F",
        b"%",
        b"{}",
        b"{}{a}",
        b"{a}",
        b"}a{",
        b"a}b",
        b"a}",
        b"{",
        b"\0",
        b"a\0",
        b"\n",
        b" ",
        b"zookeeper",
        "\u{fc}".as_bytes(),
        "u\u{308}".as_bytes(),
        b"\xff",
        b"'; return 1 --",
        longest.as_bytes(),
    ];
    let mut guards = Vec::new();
    for key in odd {
        let guard = one.lock(key).try_acquire().await.unwrap();
        guards.push(guard.unwrap_or_else(|| panic!("{key:?} is taken for another key")));
    }
    for key in odd {
        assert!(other.lock(key).try_acquire().await.unwrap().is_none(), "{key:?} is not excluded");
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
}

/// Keys that cannot be are told apart from locks that are busy.
pub async fn wrong_keys_are_refused(fixture: &Fixture) {
    let locks = fixture.process().await;
    for key in [&b""[..], &[b'x'; LockKey::MAX_LEN + 1]] {
        let refused = locks.lock(key).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidKey);
        assert_eq!(locks.lock(key).try_acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
}

/// One key of two namespaces is two locks, and a namespace is the same one in every process. Guards and errors name the key
/// without it.
pub async fn a_key_of_two_namespaces_is_two_locks(fixture: &Fixture) {
    let key = fixture.key("named");
    let [one, same, other] = ["one:", "one:", "other:"].map(|namespace| fixture.process_in(namespace));
    let (one, same, other) = (one.await, same.await, other.await);
    let guard = one.lock(&key).await.unwrap();
    assert_eq!(guard.key(), &key);
    free_at_once(&other, &key).await;
    free_at_once(&fixture.process().await, &key).await;
    let busy = same.lock(&key).wait(Duration::ZERO).await.unwrap_err();
    assert_eq!((busy.kind(), busy.key()), (ErrorKind::Busy, Some(&key)));
    assert!(busy.namespace().is_some_and(|namespace| namespace.as_str().ends_with("one:")), "{busy}");
    guard.release().await.unwrap();
    free_at_once(&same, &key).await;
}

/// An error says which key, what was done, and where.
pub async fn errors_name_key_operation_and_backend(fixture: &Fixture) {
    let locks = fixture.process().await;
    let key = fixture.key("named");
    let guard = locks.lock(&key).await.unwrap();
    let error = locks.lock(&key).wait(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!((error.key(), error.operation()), (Some(&key), Some(Operation::Acquire)));
    assert_eq!(error.backend(), Some(locks.backend_name()));
    guard.release().await.unwrap();
}

/// A process that takes the lock and dies: nothing renews and nothing releases.
async fn die_holding(fixture: &Fixture, key: &LockKey) -> crate::lease::FencingToken {
    let backend = fixture.backend().await;
    grant(&backend, &fixture.brief_claim(key)).await
}

/// A held lock that the backend takes away behind the guard's back.
async fn guard_to_be_lost(fixture: &Fixture, key: &str) -> (crate::LockGuard, Arc<Tap>) {
    let backend = fixture.backend().await;
    let tap = Tap::new(Arc::clone(&backend));
    let guard = fixture.brief(Arc::clone(&tap)).lock(fixture.key(key)).await.unwrap();
    let claim = tap.last_claim().expect("the acquire passed the tap");
    backend.release(&claim).await.unwrap();
    (guard, tap)
}

pub(super) async fn grant(backend: &Arc<dyn Backend>, claim: &Claim) -> crate::lease::FencingToken {
    let request = AcquireRequest::new(claim.clone(), Mode::Try);
    backend.acquire(&request).await.unwrap().token
}

pub(super) async fn free_at_once(locks: &LockManager, key: &LockKey) {
    let guard = locks.lock(key).try_acquire().await.unwrap();
    guard.unwrap_or_else(|| panic!("{key} is still taken")).release().await.unwrap();
}

/// Polls `acquire` up to `polls` times, whenever it wants to be, and drops it. True if it was done by then.
pub(super) async fn poll_and_drop<T>(
    acquire: impl Future<Output = Result<T, LockError>>,
    polls: usize,
) -> bool {
    let mut acquire = std::pin::pin!(acquire);
    let mut left = polls;
    let outcome = std::future::poll_fn(|context| {
        left -= 1;
        match acquire.as_mut().poll(context) {
            std::task::Poll::Ready(outcome) => std::task::Poll::Ready(Some(outcome)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    });
    match outcome.await {
        Some(guard) => {
            drop(guard.unwrap());
            true
        }
        None => false,
    }
}

/// What an operator is told, unless the backend says that it does not know: then it says so in a way that can be told apart.
pub(super) fn unless_unsupported<T>(told: Result<T, LockError>) -> Option<T> {
    match told {
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        told => Some(told.unwrap()),
    }
}

fn labels<'a>(labels: impl Iterator<Item = &'a Option<Label>>) -> Vec<Option<&'a str>> {
    labels.map(|label| label.as_ref().map(Label::as_str)).collect()
}

/// An inspection names the holder of a lock by its label and its tokens, and a free lock has none.
pub async fn an_inspection_names_the_holder(fixture: &Fixture) {
    let (one, other) = (fixture.labelled("one").await, fixture.process().await);
    let key = fixture.key("inspected");
    let guard = one.lock(&key).await.unwrap();
    let Some(seen) = unless_unsupported(other.inspect(&key).await) else { return };
    assert_eq!(labels(seen.holders.iter().map(|holder| &holder.label)), [Some("one")]);
    assert!(seen.holders.iter().all(|holder| holder.has_token(guard.token())), "{seen:?}");
    assert!(seen.waiters.is_empty(), "{seen:?}");
    guard.release().await.unwrap();
    assert!(other.inspect(&key).await.unwrap().is_free());
    let guard = other.lock(&key).await.unwrap();
    let seen = one.inspect(&key).await.unwrap();
    assert_eq!(labels(seen.holders.iter().map(|holder| &holder.label)), [None], "this one has no label");
    guard.release().await.unwrap();
}

/// Waiters are named in the order in which they are served, and each can learn its place (I6).
pub async fn an_inspection_names_the_waiters_in_order(fixture: &Fixture) {
    let (one, other) = (fixture.backend().await, fixture.backend().await);
    let key = fixture.key("inspected");
    let claim = |label: &str| fixture.claim(&key).with_label(Some(Label::new(label).unwrap()));
    let (holding, first, second) = (claim("holding"), claim("first"), claim("second"));
    one.acquire(&AcquireRequest::new(holding.clone(), Mode::Try)).await.unwrap();
    let waiting = (fixture.queued(&one, first.clone()).await, fixture.queued(&other, second.clone()).await);
    let admin = other.admin().expect("a backend with a queue says who is in it");
    let seen = admin.inspect(&key, None).await.unwrap();
    assert_eq!(labels(seen.waiters.iter().map(|waiter| &waiter.label)), [Some("first"), Some("second")]);
    assert_eq!(admin.inspect(&key, Some(&second)).await.unwrap().place, Some(2));
    one.release(&holding).await.unwrap();
    fixture.soon("the first is granted", waiting.0.grant()).await;
    assert_eq!(admin.inspect(&key, Some(&second)).await.unwrap().place, Some(1));
    one.release(&first).await.unwrap();
    fixture.soon("the second is granted", waiting.1.grant()).await;
    other.release(&second).await.unwrap();
    assert!(admin.inspect(&key, None).await.unwrap().is_free());
}

/// The error of a wait that ended names the holder. The look may take longer than the end of the wait on a busy machine.
pub async fn a_wait_that_ends_says_who_held_it(fixture: &Fixture) {
    let (one, other) = (fixture.labelled("one").await, fixture.process().await);
    let key = fixture.key("busy");
    let held = one.lock(&key).await.unwrap();
    if unless_unsupported(other.inspect(&key).await).is_none() {
        return;
    }
    let named = async || loop {
        let busy = other.lock(&key).wait(Duration::from_millis(400)).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "{busy}");
        if let Some(label) = busy.holder_label() {
            break (label.as_str().to_owned(), busy.to_string());
        }
    };
    let (label, text) = fixture.soon("the holder is named", named()).await;
    assert_eq!(label, "one");
    assert!(text.contains("\"one\""), "{text}");
    held.release().await.unwrap();
}

/// A list names every lock that is held under a prefix, and none that is free or has another prefix.
pub async fn a_list_names_the_locks_that_are_held(fixture: &Fixture) {
    let (one, other) = (fixture.labelled("one").await, fixture.process().await);
    let keys = ["listed:a", "listed:b", "unlisted"].map(|name| fixture.key(name));
    let mut held = Vec::new();
    for key in &keys {
        held.push(one.lock(key).await.unwrap());
    }
    let prefix = fixture.key("listed:");
    let listed = async || {
        let (mut list, mut listed) = (other.list(&prefix), Vec::new());
        while let Some(page) = unless_unsupported(list.next_page().await)? {
            assert!(
                page.iter().all(|lock| lock
                    .holder
                    .label
                    .as_ref()
                    .is_some_and(|label| label.as_str() == "one"))
            );
            listed.extend(page.into_iter().map(|lock| lock.key));
        }
        listed.sort();
        listed.dedup();
        Some(listed)
    };
    let Some(both) = listed().await else { return };
    assert_eq!(both, keys[..2]);
    held.remove(1).release().await.unwrap();
    assert_eq!(listed().await.unwrap(), keys[..1]);
    for guard in held {
        guard.release().await.unwrap();
    }
    assert_eq!(listed().await.unwrap(), []);
}

/// I1: the next owner has a lock that was taken away once the guard of the former one is over, and no sooner.
pub async fn a_lock_taken_away_stays_closed_until_its_guard_is_over(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("forced");
    let guard = one.lock(&key).await.unwrap();
    let forced = other.admin().force_release(&key, guard.token()).await;
    let Some(forced) = unless_unsupported(forced) else { return };
    assert!(forced.fence > guard.token(), "{} after {}", forced.fence, guard.token());
    let next = fixture.soon("the lock opens", other.lock(&key).acquire()).await.unwrap();
    assert!(!guard.is_valid(), "two valid guards");
    assert!(next.is_valid() && next.token() >= forced.fence);
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(next.is_valid(), "it is the next one's (I8)");
    next.release().await.unwrap();
}

/// A lock that is opened at once is the next waiter's, though its holder renews it.
pub async fn a_lock_taken_away_now_is_the_next_waiter_s(fixture: &Fixture) {
    let (one, other) = (fixture.short(fixture.backend().await), fixture.process().await);
    let key = fixture.key("forced");
    let guard = one.lock(&key).await.unwrap();
    let forced = other.admin().force_release_now(&key, guard.token()).await;
    let Some(forced) = unless_unsupported(forced) else { return };
    assert_eq!(forced.closed_for, Duration::ZERO);
    let next = fixture.soon("the lock is open", other.lock(&key).acquire()).await.unwrap();
    assert!(next.token() >= forced.fence && forced.fence > guard.token());
    fixture.soon("the holder finds out", guard.lost()).await;
    assert!(next.is_valid(), "it is the next one's (I8)");
    next.release().await.unwrap();
}

/// A token that is no longer the holder's takes nothing away.
pub async fn a_lock_is_taken_away_from_the_holder_of_the_token_alone(fixture: &Fixture) {
    let (one, other) = (fixture.process().await, fixture.backend().await);
    let key = fixture.key("forced");
    let Some(admin) = other.admin() else { return };
    let before = one.lock(&key).await.unwrap();
    let old = before.token();
    before.release().await.unwrap();
    let now = Reopening::Now;
    let nothing = match admin.force_release(&key, old, now).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        nothing => nothing,
    };
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::NotHeld, "the lock is free");
    let held = one.lock(&key).await.unwrap();
    assert_eq!(admin.force_release(&key, old, now).await.unwrap_err().kind(), ErrorKind::NotHeld);
    held.release().await.expect("it was left alone");
}
