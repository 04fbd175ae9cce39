//! Writes dlock-core's local layer as it is, and once for each way of breaking it.
#![allow(clippy::panic, reason = "a build that cannot go on must fail")]

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The sources of the layer: the shell, its pure parts, its table of queues, and that of whom to wake.
const SOURCES: [(&str, &str); 6] = [
    ("mod.rs", "hand_over/mod.rs"),
    ("queue.rs", "hand_over/queue.rs"),
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
const FLAWS: [(&str, &str, Edit); 14] = [
    // A wake-up that is lost.
    (
        "looks_before_it_can_be_woken",
        "turmoil",
        edit(
            "mod.rs",
            "EnterOutcome::Wait => {
                    waiter.get_or_insert_with(|| self.wakeups.enter(request.claim.owner));
                    None
                }
            });
            (lost, turn)
        });",
            "EnterOutcome::Wait => None,
            });
            (lost, turn)
        });
        waiter.get_or_insert_with(|| self.wakeups.enter(request.claim.owner));",
        ),
    ),
    (
        "wakes_only_who_waits_already",
        "turmoil",
        edit("wakeups.rs", "ring.rung = true;", "ring.rung = ring.waiter.is_some();"),
    ),
    (
        "has_nobody_ask_for_who_left",
        "turmoil",
        edit(
            "mod.rs",
            "LeaveOutcome::Passed(next, competitor) => self.wakeups.wake(next, WaiterNews::Ask(competitor)),",
            "LeaveOutcome::Passed(..) => {}",
        ),
    ),
    (
        "has_nobody_ask_after_a_loss",
        "losses",
        edit("mod.rs", "(reason);\n        }\n        self.have_ask(next);", "(reason);\n        }"),
    ),
    (
        "sleeps_on_at_the_deadline",
        "a_silent_end",
        edit("mod.rs", "sleep_until_any(ends)", "sleep_until_any(ends.and(None))"),
    ),
    ("releases_nothing", "turmoil", edit("mod.rs", "pending.note(claim.owner, competitor, now);", "")),
    // Two holders, or the same token twice.
    (
        "believes_what_it_was_told",
        "losses",
        edit("mod.rs", "if self.take(request) =>", "if { self.take(request); true } =>"),
    ),
    (
        "asks_while_another_holds",
        "turmoil",
        edit(
            "queue.rs",
            "if self.hold.is_some() {\n            return None;",
            "if false {\n            return None;",
        ),
    ),
    (
        "forgets_a_loss_that_comes_early",
        "losses",
        edit("mod.rs", ".and_then(|relay| relay.loss)", ".and_then(|_| None)"),
    ),
    ("hands_the_same_token_over", "doubts", edit("queue.rs", "hold.token = grant.token;", "")),
    // A holder that is not told.
    (
        "keeps_what_a_renewal_finds",
        "a_renewal_finds_out",
        edit("mod.rs", "=> self.lose(&competitor, LossReason::NotOwner)", "=> {}"),
    ),
    ("keeps_its_doubts", "doubts", edit("loss_relay.rs", "next.doubt();", "")),
    // Something that is left for ever.
    (
        "notes_what_is_left_too_late",
        "losses",
        edit(
            "mod.rs",
            "let lost = self.queues.with(competitor, |entry, pending| entry.lose(competitor, pending, now));",
            "let lost = self.queues.with(competitor, |entry, _| {
            let (holder, next) = entry.queue.lost(competitor.owner)?;
            Some((holder, Lost { relay: entry.relay.take(), next }))
        });
        if let Some((holder, _)) = &lost {
            self.queues.pending(competitor, |pending| pending.note(*holder, competitor, now));
        }
        let lost = lost.map(|(_, lost)| lost);",
        ),
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
