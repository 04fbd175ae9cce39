//! The steps of a run, and how they are drawn.

use super::model::Conduct;
use proptest::prelude::*;
use proptest::sample::select;

/// How many locks, processes, and owners of each process and lock there are.
pub(crate) const KEYS: usize = 2;
pub(crate) const PROCESSES: usize = 3;
pub(crate) const PLACES: usize = 2;

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) key: usize,
    pub(crate) action: Action,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Call(Call, Who),
    /// A call while a key holds a value of another type.
    Spoiled(Part, Call, Who),
    /// A call while the counter holds this.
    Garbled(&'static str, Call, Who),
    /// A process ends without a word.
    Crash(usize),
    /// A new one comes in the place of one that crashed.
    Start(usize),
    Outside(Outside),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    Place(Place),
    /// The present holder.
    Holder,
}

/// A place of a process, which has an owner for each key and takes another when it is done with that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) process: usize,
    pub(crate) number: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Try,
    Wait,
    Renew,
    Release,
    /// A release that does not know what became of an earlier request.
    GiveUp,
    /// That earlier request arrives.
    Late,
}

/// A key of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Lock,
    Queue,
    /// Of all locks.
    Counter,
    /// Of a lock at one of several independent servers.
    Fence,
    Marks,
    Marker,
}

/// What happens to the keys without a script.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outside {
    /// A key's time is over.
    Expires(Part),
    /// Much of what is left to every key passes.
    TimePasses,
    ForeignSet,
    ForeignSetForEver,
    ForeignDelete,
    /// The operator takes the expiry away, or makes it longer than its owner asked for.
    Persist,
    Stretch,
    CounterIsLost,
    /// The clock went back: the last number is ahead of it.
    CounterIsAhead,
    JunkInQueue,
    /// More dead waiters than a call passes over.
    DeadCrowd,
    ScriptsAreForgotten,
    GapIsOver,
    NextGapIsDue,
    NotesAreOver,
    OtherServer,
    QuarantineIsOver,
}

/// One lock is used more than the other, which is there to be left alone.
pub(crate) fn steps(conduct: Conduct) -> impl Strategy<Value = Vec<Step>> {
    let key = prop_oneof![5 => Just(0), 1 => 1..KEYS];
    let step = (key, action(conduct)).prop_map(|(key, action)| Step { key, action });
    prop::collection::vec(step, 1..80)
}

fn action(conduct: Conduct) -> impl Strategy<Value = Action> {
    let parts = vec![Part::Lock, Part::Queue, Part::Counter, Part::Marks, Part::Marker];
    prop_oneof![
        70 => call().prop_map(|(call, who)| Action::Call(call, who)),
        3 => (select(parts), call()).prop_map(|(part, (call, who))| Action::Spoiled(part, call, who)),
        4 => (select(GARBAGE), call()).prop_map(|(text, (call, who))| Action::Garbled(text, call, who)),
        3 => (0..PROCESSES).prop_map(Action::Crash),
        6 => (0..PROCESSES).prop_map(Action::Start),
        20 => outside(conduct).prop_map(Action::Outside),
    ]
}

/// What is no number of a grant, or not as the scripts write it. Some are past what a Lua number, or a server's, holds.
const GARBAGE: &[&str] = &[
    "",
    "-1",
    "1.5",
    " 1",
    "007",
    "zzzzzzzzzzzzzzzz",
    "4e15",
    "4e15",
    "4503599627370496",
    "9223372036854775807",
    "99999999999999999999",
];

/// Mostly as a client behaves: any owner asks, and a holder renews and leaves.
fn call() -> impl Strategy<Value = (Call, Who)> {
    use Call::*;
    let ask = || select(vec![Try, Wait, Wait, Wait]);
    let leave = || select(vec![Release, Release, GiveUp]);
    prop_oneof![
        8 => (ask(), place()),
        3 => (ask(), Just(Who::Holder)),
        1 => (Just(Renew), place()),
        2 => (Just(Renew), Just(Who::Holder)),
        2 => (leave(), place()),
        4 => (leave(), Just(Who::Holder)),
        2 => (Just(Late), place()),
    ]
}

fn place() -> impl Strategy<Value = Who> {
    (0..PROCESSES, 0..PLACES).prop_map(|(process, number)| Who::Place(Place { process, number }))
}

fn outside(conduct: Conduct) -> impl Strategy<Value = Outside> {
    use Outside::*;
    let mut all = vec![
        Expires(Part::Lock),
        Expires(Part::Lock),
        Expires(Part::Lock),
        Expires(Part::Queue),
        Expires(Part::Marks),
        TimePasses,
        ForeignSet,
        ForeignSetForEver,
        ForeignDelete,
        Persist,
        Stretch,
        CounterIsLost,
        CounterIsAhead,
        JunkInQueue,
        DeadCrowd,
        ScriptsAreForgotten,
        NotesAreOver,
    ];
    if conduct.gap > 0 {
        all.extend([[GapIsOver; 6], [NextGapIsDue; 6]].concat());
    }
    if conduct.quarantine > 0 {
        all.extend([QuarantineIsOver; 12].into_iter().chain([OtherServer; 2]));
    }
    select(all)
}
