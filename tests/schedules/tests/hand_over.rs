//! The hand-over inside a process, by schedules of shuttle's: at every lock and every await another task may go on.
//! Whoever waits without end is noticed, since nothing is left to run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must fail"
)]

use dlock_schedules::backend::{Backend, Mode};
use dlock_schedules::lease::FencingToken;
use dlock_schedules::{Asked, FLAWED, Ledger, Open, Owner, SOUND, Shell, Store, time};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use shuttle::rand::{Rng as _, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner};
use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(3600);

/// Processes over one store.
struct World {
    store: Arc<Store>,
    processes: Vec<Arc<dyn Shell>>,
    ledger: Arc<Ledger>,
}

impl World {
    fn new(open: Open, processes: usize, share: u32, store: Store) -> Self {
        time::restart();
        let store = Arc::new(store);
        let open = |_| open(Arc::clone(&store) as Arc<dyn Backend>, share, LONG);
        let processes = (0..processes).map(open).collect();
        Self { store, processes, ledger: Arc::default() }
    }

    /// One process, whose grants go round.
    fn of_one(open: Open) -> Self {
        Self::new(open, 1, 64, Store::default())
    }

    fn owner(&self, process: usize, ttl: Duration) -> Owner {
        Owner::new(&self.processes[process], &self.ledger, ttl).unwrap()
    }

    /// Does this to the store at some time when somebody has the lock.
    fn meanwhile(&self, deed: impl FnOnce(&Store) + Send + 'static) -> JoinHandle<()> {
        let store = Arc::clone(&self.store);
        spawn(async move {
            store.held().await;
            pause(any([0, 1, 3, 8])).await;
            deed(&store);
        })
    }

    /// Waits for the owners, and for nothing that was to be done meanwhile. Then nobody has the lock or waits for it,
    /// and nothing is left of those who did.
    fn end<const N: usize>(&self, owners: Vec<JoinHandle<()>>, meanwhile: [JoinHandle<()>; N]) {
        owners.into_iter().for_each(|owner| block_on(owner).unwrap());
        for deed in meanwhile {
            deed.abort();
            _ = block_on(deed);
        }
        assert!(self.store.is_free(), "the store keeps a grant or a place in its queue");
        assert!(self.processes.iter().all(|process| process.is_clean()), "a process keeps something");
    }
}

async fn pause(steps: u32) {
    for _ in 0..steps {
        yield_now().await;
    }
}

fn any<T: Copy, const N: usize>(of: [T; N]) -> T {
    of[thread_rng().gen_range(0..N)]
}

/// Whoever wants the lock tries or waits, with more patience or less, holds it or drops it, and renews it meanwhile or
/// not, while requests and answers are lost and a grant is lost or expires. There are never two holders, tokens rise,
/// nobody waits without end, and nothing is left.
fn turmoil(open: Open) {
    let world = World::new(open, 2, any([1, 2, 64]), Store::failing_once_in(8));
    let owners = [0, 0, 0, 1].map(|process| spawn(visit(world.owner(process, any([TTL, TTL, 2 * TTL])))));
    let deeds = [(); 2].map(|()| world.meanwhile(any([Store::lose as fn(&Store), Store::expire, |_| {}])));
    world.end(owners.into(), deeds);
}

async fn visit(owner: Owner) {
    let (mode, patience) = (any([Mode::Wait, Mode::Wait, Mode::Try]), any([None, Some(0), Some(3), Some(8)]));
    let asked = tokio::select! {
        biased;
        () = pause(patience.unwrap_or_default()), if patience.is_some() => Asked::Failed,
        asked = owner.ask(mode) => asked,
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

/// Renews while others go on.
fn renew(owner: &Arc<Owner>) -> JoinHandle<()> {
    let owner = Arc::clone(owner);
    spawn(async move { owner.renew().await })
}

/// Grants are lost until nobody wants any more: whoever holds the lock of one learns it.
fn losses(open: Open) {
    let world = World::of_one(open);
    let owners = [(); 3].map(|()| spawn(stay(world.owner(0, TTL), any([true, false]))));
    let store = Arc::clone(&world.store);
    let fate = spawn(async move {
        loop {
            store.held().await;
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
    let world = World::of_one(open);
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

/// The store forgets a grant, and a renewal of whoever had it first finds out when another has it.
fn a_renewal_finds_out(open: Open) {
    let world = World::of_one(open);
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

/// A holder that is gone with its runtime tells nobody: the next has the lock when its lease is over.
fn a_silent_end(open: Open) {
    let world = World::of_one(open);
    let [silent, next] = [(); 2].map(|()| world.owner(0, TTL));
    assert!(matches!(block_on(silent.ask(Mode::Wait)), Asked::Granted(_)));
    let fate = world.meanwhile(Store::expire);
    block_on(stay(next, false));
    block_on(silent.leave());
    world.end(vec![], [fate]);
}

type Scenario = fn(Open);

macro_rules! scenarios {
    [$($scenario:ident),+] => {
        const SCENARIOS: &[(&str, Scenario)] = &[$((stringify!($scenario), $scenario)),+];

        mod the_layer_stands {
            $(#[test]
            fn $scenario() {
                super::check(super::$scenario, super::SOUND, 1_000);
            })+
        }
    };
}

scenarios![turmoil, losses, doubts, a_renewal_finds_out, a_silent_end];

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
