//! Waiters that are not polled when their turn comes.
//!
//! A grant is offered to a waiter, which takes it when it is polled. One that is not polled loses its turn and nothing
//! else: neither the waiters behind it nor other processes wait for it, and it has its turn once it is polled again.

use super::*;
use dlock_core::{AcquireFuture, ErrorKind, HandOver, LockError, LockGuard, LockManager};
use dlock_tests::fresh_key;
use std::future::IntoFuture as _;
use std::pin::Pin;
use tokio::task::JoinHandle;

with_each_hand_over!(
    a_waiter_that_is_not_polled_is_passed,
    a_waiter_that_was_passed_has_its_turn_once_it_is_polled,
    those_behind_a_waiter_that_is_not_polled_keep_their_order,
    a_grant_that_is_not_taken_goes_to_another_client,
    a_grant_that_is_not_taken_leaves_the_key_free,
    an_offer_whose_future_is_dropped_goes_on,
    an_offer_whose_wait_is_over_goes_on,
    a_waiter_of_a_runtime_that_is_only_kept_is_passed,
    a_waiter_of_a_runtime_that_ends_is_passed,
    a_holder_whose_runtime_ends_is_followed_by_a_waiter_that_came_before_the_grant,
    what_is_granted_late_is_a_lock_that_is_held,
);

type Waiter = Pin<Box<AcquireFuture>>;

/// A key that another client holds, and the client that is to wait for it.
struct Scene {
    place: Place,
    hand_over: HandOver,
    key: String,
    locks: LockManager,
    holder: LockGuard,
}

impl Scene {
    fn new(place: Place, hand_over: HandOver) -> Self {
        Self::with_lease(place, hand_over, LONG)
    }

    fn with_lease(place: Place, hand_over: HandOver, lease: Duration) -> Self {
        let (key, locks) = (fresh_key("offered"), place.client_with(lease, hand_over));
        let holder = granted(place.observer().lock(&key).acquire());
        Self { place, hand_over, key, locks, holder }
    }

    fn waiter(&self) -> Waiter {
        Box::pin(self.locks.lock(&self.key).into_future())
    }

    /// The first waiter of the client. It is polled until it is in the queue, and then no more.
    fn first(&self) -> Waiter {
        let mut first = self.waiter();
        queue_up(home(), self.place, &self.key, 1, &mut first);
        first
    }

    /// A further waiter, which goes on by itself. With it there are `count` waiters.
    fn next(&self, count: usize) -> JoinHandle<Result<LockGuard, LockError>> {
        let mut next = self.waiter();
        if self.hand_over == HandOver::OFF {
            queue_up(home(), self.place, &self.key, count, &mut next);
        } else {
            assert!(poll_once(&mut next).is_pending(), "it does not have to wait");
        }
        home().spawn(next)
    }

    /// The lock is free for those that wait.
    fn let_go(self) -> (Place, String) {
        soon("the holder has released", self.holder.release()).unwrap();
        (self.place, self.key)
    }
}

#[track_caller]
fn have_turn(waiter: JoinHandle<Result<LockGuard, LockError>>) -> LockGuard {
    granted(async { waiter.await.unwrap() })
}

#[track_caller]
fn release(guard: LockGuard) {
    soon("a release is confirmed", guard.release()).unwrap();
}

/// I6, I11.
fn a_waiter_that_is_not_polled_is_passed(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (first, second) = (scene.first(), scene.next(2));
    let (place, _) = scene.let_go();
    assert_kept(place, &have_turn(second));
    drop(first);
}

/// I6: it keeps its place, and is asked again.
fn a_waiter_that_was_passed_has_its_turn_once_it_is_polled(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (first, second) = (scene.first(), scene.next(2));
    let (place, key) = scene.let_go();
    let second = have_turn(second);
    let first = home().spawn(first);
    let before = second.token();
    release(second);
    let first = have_turn(first);
    assert!(first.token() > before);
    assert_kept(place, &first);
    release(first);
    assert_free(place, &key);
}

/// I6.
fn those_behind_a_waiter_that_is_not_polled_keep_their_order(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (first, second, third) = (scene.first(), scene.next(2), scene.next(3));
    scene.let_go();
    let second = have_turn(second);
    assert!(!third.is_finished(), "two holders at once");
    let before = second.token();
    release(second);
    assert!(have_turn(third).token() > before);
    drop(first);
}

/// I6, I11: the only waiter of one client is not polled, and another client waits.
fn a_grant_that_is_not_taken_goes_to_another_client(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (first, other) = (scene.first(), place.client_with(LONG, hand_over));
    let mut second: Waiter = Box::pin(other.lock(&scene.key).into_future());
    queue_up(home(), place, &scene.key, 2, &mut second);
    let second = home().spawn(second);
    scene.let_go();
    let second = have_turn(second);
    assert_kept(place, &second);
    let (first, before) = (home().spawn(first), second.token());
    release(second);
    assert!(have_turn(first).token() > before);
}

/// I6, I11: nothing else waits, and the next client only tries.
fn a_grant_that_is_not_taken_leaves_the_key_free(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let first = scene.first();
    let (place, key) = scene.let_go();
    assert_free(place, &key);
    assert_kept(place, &granted(first));
}

/// I4.
fn an_offer_whose_future_is_dropped_goes_on(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (first, second) = (scene.first(), scene.next(2));
    let (place, key) = scene.let_go();
    drop(first);
    release(have_turn(second));
    assert_free(place, &key);
}

/// I4, I6: the patience of a waiter ends while it is not polled.
fn an_offer_whose_wait_is_over_goes_on(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let mut first: Waiter = Box::pin(scene.locks.lock(&scene.key).wait(BRIEF).into_future());
    queue_up(home(), place, &scene.key, 1, &mut first);
    let second = scene.next(2);
    outlast(BRIEF);
    let (place, key) = scene.let_go();
    release(have_turn(second));
    match soon("the first has an answer", first) {
        Ok(guard) => assert_kept(place, &guard),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Busy, "{error}"),
    }
    assert_free(place, &key);
}

/// I6, I11.
fn a_waiter_of_a_runtime_that_is_only_kept_is_passed(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (runtime, mut first) = (kept(), scene.waiter());
    queue_up(&runtime, place, &scene.key, 1, &mut first);
    let first = runtime.spawn(first);
    let second = scene.next(2);
    scene.let_go();
    let second = have_turn(second);
    assert_kept(place, &second);
    release(second);
    let turn = runtime.block_on(async { tokio::time::timeout(LIMIT, first).await });
    assert_kept(place, &turn.expect("it is polled again").unwrap().unwrap());
}

/// I6, I11.
fn a_waiter_of_a_runtime_that_ends_is_passed(place: Place, hand_over: HandOver) {
    let scene = Scene::new(place, hand_over);
    let (runtime, mut first) = (threaded(1), scene.waiter());
    queue_up(&runtime, place, &scene.key, 1, &mut first);
    runtime.spawn(first);
    let second = scene.next(2);
    drop(runtime);
    let (place, key) = scene.let_go();
    release(have_turn(second));
    assert_free(place, &key);
}

/// I6, I11: the second waiter came while nothing was held here, so it has seen no lease of the first.
fn a_holder_whose_runtime_ends_is_followed_by_a_waiter_that_came_before_the_grant(
    place: Place,
    hand_over: HandOver,
) {
    let scene = Scene::new(place, hand_over);
    let (runtime, mut first) = (threaded(1), scene.waiter());
    queue_up(&runtime, place, &scene.key, 1, &mut first);
    let (sender, is_granted) = tokio::sync::oneshot::channel();
    runtime.spawn(async move {
        let _guard = first.await.unwrap();
        sender.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let second = scene.next(2);
    let (place, key) = scene.let_go();
    soon("the first has the lock", is_granted).unwrap();
    drop(runtime);
    release(have_turn(second));
    assert_free(place, &key);
}

/// I3: from one to the other inside the process, and what is handed over is over before the next is polled.
fn what_is_granted_late_is_a_lock_that_is_held(place: Place, hand_over: HandOver) {
    let (key, locks) = (fresh_key("late"), place.client_with(BRIEF, hand_over));
    let first = granted(locks.lock(&key).acquire());
    let mut second: Waiter = Box::pin(locks.lock(&key).into_future());
    if hand_over == HandOver::OFF {
        queue_up(home(), place, &key, 1, &mut second);
    } else {
        assert!(poll_once(&mut second).is_pending());
    }
    let before = first.token();
    release(first);
    outlast(BRIEF);
    let second = granted(second);
    assert!(second.token() > before);
    assert_kept(place, &second);
}
