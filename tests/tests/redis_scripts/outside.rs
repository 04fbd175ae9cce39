//! What changes the keys without a script, as commands. Time that passes is a time that is set back: then
//! nothing here waits, and no answer hangs on how fast the machine is.

use super::server::{Names, Words, words};
use super::state::{Number, Slot, State};
use super::step::{Outside, Part};

/// More than what is left after [`Outside::TimePasses`], in ms, for keys that others than dlock make.
const LONG: i64 = 900_000;
const SHORT: i64 = 400_000;
const HOUR: i64 = 3_600_000;

pub(crate) fn commands(what: Outside, names: &Names, state: &State, server: &str, now: i64) -> Vec<Words> {
    let [lock, queue, counter, marks, marker] =
        [Part::Lock, Part::Queue, Part::Counter, Part::Marks, Part::Marker].map(|part| names.of(part));
    let texts = match what {
        Outside::Expires(part) => vec![format!("PEXPIREAT {} 1", names.of(part))],
        Outside::TimePasses => [lock, queue, marks].map(|key| format!("PEXPIRE {key} {SHORT}")).to_vec(),
        Outside::ForeignSet => vec![format!("SET {lock} foreign NX PX {LONG}")],
        Outside::ForeignSetForEver => vec![format!("SET {lock} foreign NX")],
        Outside::ForeignDelete => vec![format!("DEL {lock}")],
        Outside::Persist => vec![format!("PERSIST {lock}")],
        Outside::Stretch => vec![format!("PEXPIRE {lock} {}", 24 * HOUR)],
        // After the clock went back, only the counter keeps numbers rising.
        Outside::CounterIsLost if is_ahead(state, now) => vec![],
        Outside::CounterIsLost => vec![format!("DEL {counter}")],
        Outside::CounterIsAhead => {
            let ahead = (last(state) + 1000).max(now + HOUR * 1000);
            vec![format!("SET {counter} {ahead}")]
        }
        Outside::JunkInQueue => {
            let junk = "1 junk 2 dl2|dead|1|x| 3 dl2|nohex|1|600000| 4 || 5 dl3|dead|1 8000000000000000 dl2|dead|1|1|1";
            vec![format!("ZADD {queue} {junk}"), format!("PEXPIRE {queue} {LONG}")]
        }
        Outside::DeadCrowd => vec![format!("ZADD {queue}{}", crowd()), format!("PEXPIRE {queue} {LONG}")],
        // On the shared server, where all who call scripts by their hash are of this test, and prepared.
        Outside::ScriptsAreForgotten => vec!["SCRIPT FLUSH".to_owned()],
        Outside::GapIsOver => vec![format!("ZADD {marks} XX 1 |gap")],
        Outside::NextGapIsDue => vec![format!("ZADD {marks} XX -1 |next")],
        Outside::NotesAreOver => {
            notes(state).iter().map(|owner| format!("ZADD {marks} XX 1 {owner}")).collect()
        }
        Outside::OtherServer => vec![format!("SET {marker} abc:def|{}", now / 1000 + HOUR)],
        Outside::QuarantineIsOver => vec![format!("SET {marker} {server}|1")],
    };
    texts.iter().map(|text| words(text)).collect()
}

fn crowd() -> String {
    (10..80).map(|place| format!(" {place} dl2|dead|{place}|600000|")).collect()
}

/// Whether the last number is ahead of the clock.
pub(crate) fn is_ahead(state: &State, now: i64) -> bool {
    last(state) > now
}

fn last(state: &State) -> i64 {
    match &state.counter {
        Slot::Holds(Number::Is(number), _) => number.to,
        _ => 0,
    }
}

fn notes(state: &State) -> Vec<&str> {
    let Slot::Holds(marks, _) = &state.marks else { return Vec::new() };
    marks.iter().map(|(member, _)| member.as_str()).filter(|member| member.starts_with("dl2")).collect()
}
