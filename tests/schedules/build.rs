//! Writes dlock-core's local layer as it is, and once for each way of breaking it.
#![allow(clippy::panic, reason = "a build that cannot go on must fail")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The sources of the layer: the shell, its pure parts, its table of queues, and the bell that wakes a waiter.
const SOURCES: [(&str, &str); 15] = [
    ("mod.rs", "hand_over/mod.rs"),
    ("state.rs", "hand_over/state.rs"),
    ("lane.rs", "hand_over/lane.rs"),
    ("asking.rs", "hand_over/asking.rs"),
    ("exchange.rs", "hand_over/exchange.rs"),
    ("in_place.rs", "hand_over/in_place.rs"),
    ("queue.rs", "hand_over/queue.rs"),
    ("place.rs", "hand_over/place.rs"),
    ("line.rs", "hand_over/line.rs"),
    ("share.rs", "hand_over/share.rs"),
    ("watch.rs", "hand_over/watch.rs"),
    ("pending_releases.rs", "hand_over/pending_releases.rs"),
    ("queue_map.rs", "hand_over/queue_map.rs"),
    ("loss_relay.rs", "hand_over/loss_relay.rs"),
    ("bell.rs", "backend/bell.rs"),
];

/// A text that has one place in a source, and what stands there instead.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, from, to }
}

/// What the scheduler has instead, wherever it stands.
const CONTROLLED: [(&str, &str); 3] = [
    ("tokio_util::task::AbortOnDropHandle", "crate::keeper::AbortOnDropHandle"),
    ("std::sync::atomic::", "shuttle::sync::atomic::"),
    // It would look at its branches in an order that no schedule knows.
    ("tokio::select! {", "tokio::select! { biased;"),
];

/// Each layer has a bell of its own, which can be broken, too.
const BELL: [Edit; 4] = [
    edit("mod.rs", "mod watch;", "mod bell;\nmod watch;"),
    edit("state.rs", "use crate::backend::bell::", "use super::bell::"),
    edit("queue.rs", "use crate::backend::bell::", "use super::bell::"),
    edit("line.rs", "use crate::backend::bell::", "use super::bell::"),
];

/// What the check wants to know of a source.
fn view(file: &str) -> &'static str {
    match file {
        "mod.rs" => {
            "impl crate::Shell for HandOverBackend {
                fn is_clean(&self) -> bool {
                    self.0.queues.are_empty()
                }
            }"
        }
        "pending_releases.rs" => {
            "impl PendingReleases {
                pub(super) fn is_empty(&self) -> bool {
                    self.0.is_empty()
                }
            }"
        }
        "queue_map.rs" => {
            "impl QueueMap {
                pub(super) fn are_empty(&self) -> bool {
                    let is_empty = |shard: &Shard| shard.queues.is_empty() && shard.pending.is_empty();
                    self.shards.iter().all(|shard| is_empty(&shard.lock()))
                }
            }"
        }
        _ => "",
    }
}

/// What must be noticed, and the scenario that notices it.
const FLAWS: [(&str, &str, Edit); 30] = [
    // A waiter that is forgotten.
    (
        "wakes_only_who_waits_already",
        "turmoil",
        edit("bell.rs", "ring.rung = true;", "ring.rung = ring.waiter.is_some();"),
    ),
    (
        "does_not_wake_at_an_offer",
        "no_waiter_is_forgotten",
        edit("state.rs", "to_wake.into_iter().for_each(|called| called.bell.ring(None));", "drop(to_wake);"),
    ),
    (
        "never_asks_for_who_waits",
        "no_waiter_is_forgotten",
        edit("state.rs", "errands.ask = self.begin_asking(lane, entry).map(Box::new);", ""),
    ),
    (
        "never_widens",
        "no_waiter_is_forgotten",
        edit(
            "queue.rs",
            "usize::try_from(passed).unwrap_or(usize::MAX).saturating_add(1)",
            "1.max(passed as usize * 0)",
        ),
    ),
    (
        "invites_for_ever",
        "no_waiter_is_forgotten",
        edit("queue.rs", "if since.after(PATIENCE) <= now =>", "if since.after(PATIENCE) <= now && false =>"),
    ),
    (
        "keeps_no_place_for_those_behind",
        "no_waiter_is_forgotten",
        edit("queue.rs", "LeaveOutcome::Followed(competitor)\n", "LeaveOutcome::Quietly\n"),
    ),
    (
        "follows_nobody_who_is_not_polled",
        "no_waiter_is_forgotten",
        edit("queue.rs", "self.displaced_at().is_some_and(|at| at <= now)", "false"),
    ),
    (
        "does_not_see_who_was_woken",
        "what_is_not_collected_goes_back",
        edit("in_place.rs", "entry.queue.note_in_place(standing);", ""),
    ),
    (
        "does_not_undo_who_is_displaced",
        "no_waiter_is_forgotten",
        edit("state.rs", "errands.undo = Some(Box::new((claim, asker)));", ""),
    ),
    (
        "keeps_what_is_not_taken",
        "what_is_not_taken_goes_back",
        edit("state.rs", "errands.undo = Some(Box::new((lane.claim(returned), Asker::None)));", ""),
    ),
    (
        "parks_for_ever",
        "what_is_not_taken_goes_back",
        edit("queue.rs", "self.waiters.change(|line| line.unpark(place));\n        match", "match"),
    ),
    (
        "does_not_wake_who_is_parked",
        "turmoil",
        edit(
            "line.rs",
            "self.to_wake += usize::from(!std::mem::replace(&mut waiting.is_to_wake, true));",
            "",
        ),
    ),
    (
        "follows_a_caller_that_was_polled",
        "callers_are_late",
        edit("asking.rs", "if is_polled { None } else { slot.take() }", "slot.take()"),
    ),
    (
        "is_told_while_it_cannot_be_woken",
        "a_process_closes",
        edit("state.rs", "entry.queue.stay(request.claim.owner)", "Arc::default()"),
    ),
    (
        "undoes_while_the_caller_asks",
        "no_waiter_is_forgotten",
        edit("state.rs", "Asker::Caller(in_place) => in_place.end().await,", "Asker::Caller(_) => {}"),
    ),
    (
        "does_not_look_when_a_lease_ends",
        "a_silent_end",
        edit("queue.rs", "(!self.waiters.is_empty()).then_some(share.valid_until)", "None"),
    ),
    ("looks_no_earlier", "no_waiter_is_forgotten", edit("watch.rs", "self.earlier.notify_one();", "")),
    ("has_a_try_wait", "a_try_never_waits", edit("queue.rs", "if mode == Mode::Try {", "if false {")),
    // Two holders, or the same token twice.
    (
        "asks_while_another_holds",
        "turmoil",
        edit("queue.rs", "(Stage::Free, Some(first))", "(Stage::Free | Stage::Held { .. }, Some(first))"),
    ),
    (
        "forgets_a_loss_that_comes_early",
        "losses",
        edit("in_place.rs", "(grant, entry.relay.as_ref().and_then(|relay| relay.loss))", "(grant, None)"),
    ),
    (
        "hands_the_same_token_over",
        "no_waiter_is_forgotten",
        edit("share.rs", "self.token = self.token.next();", ""),
    ),
    // A holder that is not told.
    (
        "keeps_what_a_renewal_finds",
        "a_renewal_finds_out",
        edit("state.rs", "self.lose(&lane, competitor.owner, LossReason::NotOwner);", ""),
    ),
    ("keeps_its_doubts", "doubts", edit("loss_relay.rs", "next.doubt();", "")),
    // Something that is left for ever.
    ("releases_nothing", "turmoil", edit("state.rs", "pending.note(owner, competitor, until, now);", "")),
    (
        "forgets_a_release_that_is_dropped",
        "turmoil",
        edit("state.rs", "self.queues.note_unconfirmed(self.lane, self.owner, self.competitor);", ""),
    ),
    (
        "undoes_while_it_asks",
        "turmoil",
        edit(
            "state.rs",
            "asking.abort();\n                    let _ = asking.await;",
            "std::mem::forget(asking);",
        ),
    ),
    (
        "notes_who_was_refused",
        "turmoil",
        edit(
            "in_place.rs",
            "                pending.is_gone(owner, competitor.owner);\n            }\n            still_asked",
            "            }\n            still_asked",
        ),
    ),
    (
        "hands_over_what_may_be_exchanged",
        "exchanges",
        edit("exchange.rs", "            entry.queue.revoked(competitor);\n", ""),
    ),
    (
        "keeps_the_queue_of_what_was_exchanged",
        "those_behind_an_exchange_ask_again",
        edit("exchange.rs", "if entry.queue.lost(former).is_some() {", "if false {"),
    ),
    ("keeps_every_lane", "turmoil", edit("queue_map.rs", "if there.get().queue.is_empty() {", "if false {")),
];

impl Edit {
    fn of(&self, file: &str, text: String) -> String {
        match (self.file == file, text.matches(self.from).count()) {
            (false, _) => text,
            (true, 1) => text.replace(self.from, self.to),
            (true, found) => panic!("{found} places in {file} for {:?}", self.from),
        }
    }
}

fn write(layer: &Path, sources: &Path, edits: &[&Edit]) -> io::Result<()> {
    fs::create_dir_all(layer)?;
    for (file, source) in SOURCES {
        let source = sources.join(source);
        println!("cargo::rerun-if-changed={}", source.display());
        let text = edits.iter().fold(fs::read_to_string(source)?, |text, edit| edit.of(file, text));
        let text = CONTROLLED.iter().fold(text, |text, (from, to)| text.replace(from, to));
        fs::write(layer.join(file), text + view(file))?;
    }
    Ok(())
}

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let (out, sources) =
        (PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()), Path::new("../../dlock-core/src"));
    write(&out.join("sound"), sources, &BELL.each_ref())?;
    for (name, _, flaw) in &FLAWS {
        let edits: Vec<_> = BELL.iter().chain([flaw]).collect();
        write(&out.join(name), sources, &edits)?;
    }
    let each = |line: fn(&str, &str) -> String| {
        FLAWS.iter().map(|(name, scenario, _)| line(name, scenario)).collect()
    };
    let modules: String = each(|name, _| format!("#[allow(warnings, clippy::all)]\nmod {name};\n"));
    let list: String = each(|name, scenario| format!("    ({name:?}, {scenario:?}, layer!({name})),\n"));
    fs::write(out.join("layers.rs"), format!("mod sound;\n{modules}flawed![\n{list}];\n"))
}
