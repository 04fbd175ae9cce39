//! Writes dlock-core's local layer as it is, and once for each way of breaking it.
#![allow(clippy::panic, reason = "a build that cannot go on must fail")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The sources of the layer: the shell, its pure parts, its table of queues, and that of whom to wake.
const SOURCES: [(&str, &str); 9] = [
    ("mod.rs", "hand_over/mod.rs"),
    ("asking.rs", "hand_over/asking.rs"),
    ("queue.rs", "hand_over/queue.rs"),
    ("share.rs", "hand_over/share.rs"),
    ("watch.rs", "hand_over/watch.rs"),
    ("pending_releases.rs", "hand_over/pending_releases.rs"),
    ("queue_map.rs", "hand_over/queue_map.rs"),
    ("loss_relay.rs", "hand_over/loss_relay.rs"),
    ("wakeups.rs", "backend/wakeups.rs"),
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

/// Each layer has its own table, which can be broken, too.
const TABLE: Edit = edit("mod.rs", "use crate::backend::wakeups::", "mod wakeups;\nuse wakeups::");

/// What the check wants to know of a source.
fn view(file: &str) -> &'static str {
    match file {
        "mod.rs" => {
            "impl crate::Shell for HandOverBackend {
                fn is_clean(&self) -> bool {
                    self.0.queues.are_empty() && self.0.wakeups.is_empty()
                }
            }"
        }
        "pending_releases.rs" => {
            "impl PendingReleases {
                pub(super) fn is_empty(&self) -> bool {
                    self.0.len() == 0
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
        "wakeups.rs" => {
            "impl<News> Wakeups<News> {
                pub(super) fn is_empty(&self) -> bool {
                    self.0.lock().is_empty()
                }
            }"
        }
        _ => "",
    }
}

/// What must be noticed, and the scenario that notices it.
const FLAWS: [(&str, &str, Edit); 23] = [
    // Somebody who is forgotten.
    (
        "wakes_only_who_waits_already",
        "turmoil",
        edit("wakeups.rs", "ring.rung = true;", "ring.rung = ring.waiter.is_some();"),
    ),
    (
        "does_not_wake_at_an_offer",
        "nobody_is_forgotten",
        edit(
            "mod.rs",
            "to_wake.into_iter().for_each(|owner| self.wakeups.wake_one(owner));",
            "drop(to_wake);",
        ),
    ),
    (
        "never_asks_for_who_waits",
        "nobody_is_forgotten",
        edit("mod.rs", "errands.ask = self.begin_asking(lane, entry);", ""),
    ),
    (
        "never_widens",
        "nobody_is_forgotten",
        edit(
            "queue.rs",
            "usize::try_from(passed).unwrap_or(usize::MAX).saturating_add(1)",
            "1.max(passed as usize * 0)",
        ),
    ),
    (
        "follows_nobody_who_is_not_polled",
        "nobody_is_forgotten",
        edit("queue.rs", "has_candidates && since.after(PATIENCE) <= now", "has_candidates && false"),
    ),
    (
        "does_not_undo_who_is_displaced",
        "nobody_is_forgotten",
        edit("mod.rs", "errands.undo = Some((displaced, None));", ""),
    ),
    (
        "keeps_what_is_not_taken",
        "what_is_not_taken_goes_back",
        edit("mod.rs", "errands.undo = Some((returned, None));", ""),
    ),
    (
        "parks_for_ever",
        "what_is_not_taken_goes_back",
        edit("queue.rs", "self.waiters.get_mut(place)?.is_parked = false;", ""),
    ),
    (
        "does_not_wake_who_is_parked",
        "turmoil",
        edit("queue.rs", "(self.is_parked, self.is_to_wake) = (true, true);", "self.is_parked = true;"),
    ),
    (
        "is_told_while_it_cannot_be_woken",
        "a_process_closes",
        edit("mod.rs", "entry.queue.stay(request.claim.owner);", ""),
    ),
    (
        "keeps_a_late_copy",
        "a_process_closes",
        edit("asking.rs", "false => self.displaced(lane, request),", "false => Ok(None),"),
    ),
    (
        "does_not_look_when_a_lease_ends",
        "a_silent_end",
        edit("queue.rs", "(!self.waiters.is_empty()).then_some(share.valid_until)", "None"),
    ),
    ("looks_no_earlier", "nobody_is_forgotten", edit("watch.rs", "self.earlier.notify_one();", "")),
    ("has_a_try_wait", "a_try_never_waits", edit("queue.rs", "if mode == Mode::Try {", "if false {")),
    // Two holders, or the same token twice.
    (
        "asks_while_another_holds",
        "turmoil",
        edit(
            "queue.rs",
            "matches!(self.stage, Stage::Free) && self.candidates().next().is_some()",
            "matches!(self.stage, Stage::Free | Stage::Held { .. }) && self.candidates().next().is_some()",
        ),
    ),
    (
        "forgets_a_loss_that_comes_early",
        "losses",
        edit(
            "asking.rs",
            "let grant = entry.queue.granted_in_place(owner, &granted, now);
            (grant, entry.relay.as_ref().and_then(|relay| relay.loss))",
            "let grant = entry.queue.granted_in_place(owner, &granted, now);
            (grant, None)",
        ),
    ),
    ("hands_the_same_token_over", "nobody_is_forgotten", edit("share.rs", "self.next = token.next();", "")),
    // A holder that is not told.
    (
        "keeps_what_a_renewal_finds",
        "a_renewal_finds_out",
        edit("mod.rs", "self.lose(&lane, competitor.owner, LossReason::NotOwner);", ""),
    ),
    ("keeps_its_doubts", "doubts", edit("loss_relay.rs", "next.doubt();", "")),
    // Something that is left for ever.
    ("releases_nothing", "turmoil", edit("mod.rs", "pending.note(owner, competitor, until, now);", "")),
    (
        "undoes_while_it_asks",
        "turmoil",
        edit("mod.rs", "asking.abort();\n                let _ = asking.await;", "std::mem::forget(asking);"),
    ),
    (
        "notes_who_was_refused",
        "turmoil",
        edit("asking.rs", "pending.is_gone(owner, owner);\n            });", "});"),
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
    write(&out.join("sound"), sources, &[&TABLE])?;
    for (name, _, flaw) in &FLAWS {
        write(&out.join(name), sources, &[&TABLE, flaw])?;
    }
    let each = |line: fn(&str, &str) -> String| {
        FLAWS.iter().map(|(name, scenario, _)| line(name, scenario)).collect()
    };
    let modules: String = each(|name, _| format!("#[allow(warnings, clippy::all)]\nmod {name};\n"));
    let list: String = each(|name, scenario| format!("    ({name:?}, {scenario:?}, layer!({name})),\n"));
    fs::write(out.join("layers.rs"), format!("mod sound;\n{modules}flawed![\n{list}];\n"))
}
