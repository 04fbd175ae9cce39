//! The hand-over inside a process, by schedules of shuttle's: at every lock and every await another task may go on.
//! A waiter that waits without end is noticed, since nothing is left to run: the clock is moved only as far as a
//! scenario may need.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use dlock_schedules::backend::{Backend, Mode};
use dlock_schedules::keeper::Background;
use dlock_schedules::lease::FencingToken;
use dlock_schedules::{Asked, FLAWED, Ledger, Open, Owner, SOUND, Shell, Store, time};
use futures_util::FutureExt as _;
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use std::ops::Range;
use std::panic::catch_unwind;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

const TTL: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(3600);

/// How far the clock is moved at once: an offer widens, and a caller that is not polled is followed.
const WIDENING: Duration = Duration::from_millis(50);
/// Besides, what is not taken goes back, and what failed is done again. No lease ends.
const RETURNING: Duration = Duration::from_secs(10);
/// Besides, leases end.
const ENDING: Duration = LONG;

/// Processes over one store.
struct World {
    store: Arc<Store>,
    processes: Vec<Arc<dyn Shell>>,
    ledger: Arc<Ledger>,
    keeper: Background,
    clock: JoinHandle<()>,
}

impl World {
    fn new(open: Open, processes: usize, share: u32, store: Store, stride: Duration) -> Self {
        time::restart();
        let (store, keeper) = (Arc::new(store), Background::default());
        let open = |_| open(Arc::clone(&store) as Arc<dyn Backend>, share, LONG, keeper.clone());
        let processes = (0..processes).map(open).collect();
        // If it outran all tasks, each offer would go back before it is taken, without end.
        let pace = if stride > WIDENING { any([16, 64]) } else { any([1, 8, 64]) };
        let clock = spawn(time::pass(stride, pace));
        Self { store, processes, ledger: Arc::default(), keeper, clock }
    }

    /// One process, whose grants go round.
    fn of_one(open: Open, stride: Duration) -> Self {
        Self::new(open, 1, 64, Store::default(), stride)
    }

    fn owner(&self, process: usize, ttl: Duration) -> Owner {
        Owner::new(&self.processes[process], &self.ledger, ttl).unwrap()
    }

    /// An owner whose lease does not end, and that has the lock.
    fn holder(&self) -> Owner {
        let holder = self.owner(0, LONG);
        assert!(matches!(block_on(holder.ask(Mode::Wait)), Asked::Granted(_)));
        holder
    }

    /// Does this to the store at some time when an owner has the lock.
    fn meanwhile(&self, deed: impl FnOnce(&Store) + Send + 'static) -> JoinHandle<()> {
        let store = Arc::clone(&self.store);
        spawn(async move {
            store.held().await;
            pause(any([0, 1, 3, 8])).await;
            deed(&store);
        })
    }

    /// Waits for the owners, and for nothing that was to be done meanwhile. Then the lock has no holder and no waiter,
    /// and nothing is left of earlier ones.
    fn end<const N: usize>(self, owners: Vec<JoinHandle<()>>, meanwhile: [JoinHandle<()>; N]) {
        join(owners);
        meanwhile.into_iter().for_each(stop);
        block_on(self.keeper.settled());
        stop(self.clock);
        assert!(self.store.is_free(), "the store keeps a grant or a place in its queue");
        assert!(self.processes.iter().all(|process| process.is_clean()), "a process keeps something");
    }
}

fn join(tasks: Vec<JoinHandle<()>>) {
    tasks.into_iter().for_each(|task| block_on(task).unwrap());
}

fn stop(task: JoinHandle<()>) {
    task.abort();
    _ = block_on(task);
}

async fn pause(steps: u32) {
    for _ in 0..steps {
        yield_now().await;
    }
}

fn any<T: Copy, const N: usize>(of: [T; N]) -> T {
    of[thread_rng().gen_range(0..N)]
}

/// Each owner tries or waits, with more patience or less, is polled or not, holds the lock or drops it, and renews it
/// meanwhile or not. Requests and answers are lost, and a grant is lost or expires. There are never two holders, tokens
/// rise, no owner waits without end, and nothing is left.
fn turmoil(open: Open) {
    let world = World::new(open, 2, any([1, 2, 64]), Store::failing_once_in(8), ENDING);
    let owners = [0, 0, 0, 1].map(|process| spawn(visit(world.owner(process, any([TTL, TTL, 2 * TTL])))));
    let deeds = [(); 2].map(|()| world.meanwhile(any([Store::lose as fn(&Store), Store::expire, |_| {}])));
    world.end(owners.into(), deeds);
}

async fn visit(owner: Owner) {
    let (mode, patience) = (any([Mode::Wait, Mode::Wait, Mode::Try]), any([None, Some(0), Some(3), Some(8)]));
    let asked = {
        let mut asking = pin!(owner.ask(mode));
        let asked = within(patience, asking.as_mut()).await;
        match asked {
            None if any([true, false]) => {
                // Not polled meanwhile.
                pause(any([3, 30])).await;
                asking.await
            }
            asked => asked.unwrap_or(Asked::Failed),
        }
    };
    if asked == Asked::Refused {
        return;
    }
    let owner = Arc::new(owner);
    let renewing = any([true, false]).then(|| renew(&owner));
    pause(any([0, 1, 4])).await;
    owner.leave().await;
    if let Some(renewing) = renewing {
        renewing.await.unwrap();
    }
}

/// What comes of it within this many steps.
async fn within<T>(steps: Option<u32>, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = pause(steps.unwrap_or_default()), if steps.is_some() => None,
        done = work => Some(done),
    }
}

/// Renews while others go on.
fn renew(owner: &Arc<Owner>) -> JoinHandle<()> {
    let owner = Arc::clone(owner);
    spawn(async move { owner.renew().await })
}

/// Some owners are no longer polled, are dropped, or only try. All others have the lock before one of the first kind is
/// polled: no lease ends.
fn no_waiter_is_forgotten(open: Open) {
    // Where each asks for itself, what one may have got that is not polled comes back with its lease.
    let (share, fails, stride) =
        any([(2, 0, WIDENING), (64, 0, WIDENING), (64, 6, RETURNING), (1, 0, ENDING)]);
    let world = World::new(open, 1, share, Store::failing_once_in(fails), stride);
    let over = Arc::new(Semaphore::new(0));
    let owner = || world.owner(0, LONG);
    let polled = [(); 2].map(|()| match fails {
        0 => spawn(stay(owner(), false)),
        _ => spawn(insist(owner())),
    });
    let others = [(); 2].map(|()| match any([0, 1, 2]) {
        0 => spawn(visit(owner())),
        _ => spawn(stop_polling(owner(), Arc::clone(&over))),
    });
    join(polled.into());
    over.close();
    world.end(others.into(), []);
}

/// Asks until it has the lock.
async fn insist(mut owner: Owner) {
    while !matches!(owner.ask(Mode::Wait).await, Asked::Granted(_)) {
        owner.leave().await;
        owner = owner.again().unwrap();
    }
    pause(any([0, 1, 4])).await;
    owner.leave().await;
}

/// Is not polled until the others are through, and then has the lock, or is dropped.
async fn stop_polling(owner: Owner, over: Arc<Semaphore>) {
    {
        let mut asking = pin!(owner.ask(Mode::Wait));
        if within(any([Some(1), Some(2), Some(5), Some(12)]), asking.as_mut()).await.is_none() {
            assert!(over.acquire().await.is_err());
            if any([true, false]) {
                asking.await;
            }
        }
    }
    owner.leave().await;
}

/// The only waiter of a process is not polled when the lock comes to it: another process has it, before a lease ends. Then
/// it is polled again, and has its turn.
fn what_is_not_taken_goes_back(open: Open) {
    let world = World::new(open, 2, 64, Store::default(), RETURNING);
    let (holder, waiter) = (world.holder(), world.owner(0, LONG));
    let mut asking = Box::pin(waiter.ask(Mode::Wait));
    assert!(asking.as_mut().now_or_never().is_none());
    let other = spawn(insist(world.owner(1, LONG)));
    block_on(holder.leave());
    block_on(other).unwrap();
    assert!(matches!(block_on(asking), Asked::Granted(_)), "it was parked, and is polled again");
    block_on(waiter.leave());
    world.end(vec![], []);
}

/// A caller that asks for itself is not polled when the answer is there: another process has the lock, before a lease ends.
/// Then it is polled again, and has its turn.
fn what_is_not_collected_goes_back(open: Open) {
    let world = World::new(open, 2, 64, Store::default(), RETURNING);
    let caller = world.owner(0, LONG);
    let mut asking = Box::pin(caller.ask(Mode::Wait));
    let polled = within(any([Some(1), Some(2), Some(3)]), asking.as_mut());
    if block_on(polled).is_none() {
        block_on(insist(world.owner(1, LONG)));
        assert!(matches!(block_on(asking), Asked::Granted(_)), "it is polled again");
    }
    block_on(caller.leave());
    world.end(vec![], []);
}

/// A process closes: it drops what waits and releases what is held. The others have the lock, and of that process nothing
/// is left.
fn a_process_closes(open: Open) {
    let world = World::new(open, 2, any([1, 2, 64]), Store::failing_once_in(any([0, 8])), RETURNING);
    let closed = Arc::new(Semaphore::new(0));
    let closing = [(); 2].map(|()| spawn(stay_until(world.owner(0, LONG), Arc::clone(&closed))));
    let others = [(); 2].map(|()| spawn(insist(world.owner(1, LONG))));
    let close = spawn(async move {
        pause(any([0, 3, 10, 30])).await;
        closed.close();
    });
    world.end(closing.into_iter().chain(others).chain([close]).collect(), []);
}

async fn stay_until(owner: Owner, closed: Arc<Semaphore>) {
    tokio::select! {
        biased;
        _ = closed.acquire() => {}
        () = async { owner.ask(Mode::Wait).await; pause(any([0, 4, 30])).await } => {}
    }
    owner.leave().await;
}

/// Callers that are woken are polled late, at times at the very moment when the keeper goes on without them. Each of them
/// has its turn.
fn callers_are_late(open: Open) {
    let world = World::new(open, 1, 1, Store::default(), WIDENING);
    let owners = [(); 6].map(|()| spawn(insist(world.owner(0, LONG))));
    world.end(owners.into(), []);
}

/// While another has the lock, or is before it, a try is answered.
fn a_try_never_waits(open: Open) {
    let world = World::of_one(open, WIDENING);
    let (holder, waiter) = (world.holder(), world.owner(0, LONG));
    let mut waiting = Box::pin(waiter.ask(Mode::Wait));
    assert!(waiting.as_mut().now_or_never().is_none());
    let others = [(); 2].map(|()| spawn(insist(world.owner(0, LONG))));
    let tries = [(); 2].map(|()| {
        let owner = world.owner(0, LONG);
        spawn(async move { assert_eq!(owner.ask(Mode::Try).await, Asked::Refused) })
    });
    join(tries.into());
    drop(waiting);
    block_on(holder.leave());
    block_on(waiter.leave());
    world.end(others.into(), []);
}

/// Grants are lost until no owner wants the lock. The holder of a lost grant learns of it.
fn losses(open: Open) {
    let world = World::of_one(open, WIDENING);
    let owners = [(); 3].map(|()| spawn(stay(world.owner(0, TTL), any([true, false]))));
    let store = Arc::clone(&world.store);
    let fate = spawn(async move {
        loop {
            store.held().await;
            pause(any([0, 1, 3, 30])).await;
            store.lose();
        }
    });
    world.end(owners.into(), [fate]);
}

async fn stay(owner: Owner, until_lost: bool) {
    assert!(matches!(owner.ask(Mode::Wait).await, Asked::Granted(_)));
    if until_lost {
        owner.guard.ended().await;
    }
    owner.leave().await;
}

/// A grant in doubt goes round: so everybody who holds it knows.
fn doubts(open: Open) {
    let world = World::of_one(open, WIDENING);
    let doubted = Arc::new(Mutex::new(None));
    let owners = [(); 3].map(|()| spawn(know(world.owner(0, TTL), Arc::clone(&doubted))));
    let fate = world.meanwhile(move |store| *doubted.lock().unwrap() = store.doubt());
    world.end(owners.into(), [fate]);
}

async fn know(owner: Owner, doubted: Arc<Mutex<Option<Range<FencingToken>>>>) {
    let Asked::Granted(token) = owner.ask(Mode::Wait).await else { panic!("it is granted") };
    let is_doubted = doubted.lock().unwrap().as_ref().is_some_and(|tokens| tokens.contains(&token));
    assert!(owner.guard.is_doubted() || !is_doubted, "it holds what is in doubt");
    pause(any([0, 1, 4])).await;
    owner.leave().await;
}

/// The store forgets a grant. A renewal by the holder of that grant finds this out when another owner has the lock.
fn a_renewal_finds_out(open: Open) {
    let world = World::of_one(open, WIDENING);
    let [first, next] = [(); 2].map(|()| Arc::new(world.owner(0, TTL)));
    assert!(matches!(block_on(first.ask(Mode::Wait)), Asked::Granted(_)));
    let asking = Arc::clone(&next);
    let asked = spawn(async move { asking.ask(Mode::Wait).await });
    let forgotten = world.store.forget().unwrap();
    let renewing = renew(&first);
    block_on(first.leave());
    block_on(renewing).unwrap();
    let Asked::Granted(token) = block_on(asked).unwrap() else { panic!("it is granted") };
    let is_known = world.store.has_refused() && forgotten.contains(&token);
    assert!(!(is_known && next.guard.is_valid()), "the next one was not told");
    block_on(next.leave());
    world.end(vec![], []);
}

/// A holder that is gone with its runtime releases nothing: the next owner has the lock when the lease is over.
fn a_silent_end(open: Open) {
    let world = World::of_one(open, ENDING);
    let [silent, next] = [(); 2].map(|()| world.owner(0, TTL));
    assert!(matches!(block_on(silent.ask(Mode::Wait)), Asked::Granted(_)));
    block_on(stay(next, false));
    block_on(silent.leave());
    world.end(vec![], []);
}

/// Holders exchange what they have for a part of the lock, and drop that at any step. Requests and answers are lost, and so are
/// grants. There are never two holders, each waiter has its turn, and nothing is left.
fn exchanges(open: Open) {
    let world = World::new(open, 2, any([1, 64]), Store::failing_once_in(any([0, 8])), ENDING);
    let owners = [0, 0, 1].map(|process| spawn(exchange(world.owner(process, any([TTL, 2 * TTL])))));
    let waiters = [0, 1].map(|process| spawn(insist(world.owner(process, TTL))));
    let deed = world.meanwhile(any([Store::lose as fn(&Store), Store::expire, |_| {}]));
    world.end(owners.into_iter().chain(waiters).collect(), [deed]);
}

async fn exchange(owner: Owner) {
    if matches!(owner.ask(Mode::Wait).await, Asked::Granted(_)) {
        pause(any([0, 1, 4])).await;
        let part = Arc::new(owner.again().unwrap().of_a_part());
        within(any([None, None, Some(0), Some(2), Some(5)]), owner.exchange_for(&part)).await;
        let renewing = renew(&part);
        pause(any([0, 1, 4])).await;
        part.leave().await;
        renewing.await.unwrap();
    }
    owner.leave().await;
}

/// The waiters behind an owner that exchanges its lock have their turn when the part is released, before a lease ends.
fn those_behind_an_exchange_ask_again(open: Open) {
    let world = World::of_one(open, WIDENING);
    let (holder, part) = (world.holder(), world.owner(0, LONG).of_a_part());
    let waiters = [(); 2].map(|()| spawn(insist(world.owner(0, LONG))));
    assert!(matches!(block_on(holder.exchange_for(&part)), Asked::Granted(_)));
    block_on(pause(any([0, 1, 8])));
    block_on(part.leave());
    world.end(waiters.into(), []);
}

type Scenario = fn(Open);

macro_rules! scenarios {
    [$($scenario:ident),+] => {
        const SCENARIOS: &[(&str, Scenario)] = &[$((stringify!($scenario), $scenario)),+];

        mod the_layer_stands {
            $(#[test]
            fn $scenario() {
                super::check(super::$scenario, super::SOUND, 4_000);
            })+
        }
    };
}

scenarios![
    turmoil,
    no_waiter_is_forgotten,
    what_is_not_taken_goes_back,
    what_is_not_collected_goes_back,
    a_process_closes,
    callers_are_late,
    a_try_never_waits,
    losses,
    doubts,
    a_renewal_finds_out,
    a_silent_end,
    exchanges,
    those_behind_an_exchange_ask_again
];

/// Half of the schedules go on with any task at each step, the others with the same until they change their mind, which
/// they do three times. One that fails is printed, for `shuttle::replay`.
fn check(scenario: Scenario, open: Open, schedules: usize) {
    run(RandomScheduler::new(schedules), move || scenario(open));
    run(PctScheduler::new(3, schedules), move || scenario(open));
}

fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = 0x4_0000;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    Runner::new(scheduler, config).run(scenario);
}

#[test]
fn every_flaw_is_noticed() {
    for (flaw, scenario, open) in FLAWED {
        let (_, scenario) = SCENARIOS.iter().find(|(name, _)| name == scenario).unwrap();
        let is_noticed = catch_unwind(|| check(*scenario, *open, 20_000)).is_err();
        assert!(is_noticed, "nothing notices {flaw}");
    }
}
