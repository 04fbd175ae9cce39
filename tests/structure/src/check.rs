//! All checks of a source tree.

use crate::circles::circles;
use crate::layers::misplaced;
use crate::names::shared_names;
use crate::purity::{impurities, named};
use crate::source::Crate;
use crate::uses::uses;
use anyhow::{Context as _, Result};
use std::path::Path;

/// What is wrong with the structure of the workspace at `root`; nothing if all is well.
///
/// # Errors
/// If a source file cannot be read.
pub fn complaints(root: &Path) -> Result<Vec<String>> {
    let read = |name: &str| {
        let sources = root.join(name).join("src");
        Crate::read(&sources).with_context(|| format!("in {}", sources.display()))
    };
    let (core, tower, macros) = (read("dlock-core")?, read("dlock-tower")?, read("dlock-macros")?);
    let mut complaints = misplaced(&core.files(), &uses(&core));
    for (name, it) in [("dlock-core", &core), ("dlock-tower", &tower), ("dlock-macros", &macros)] {
        let uses = uses(it);
        let circles = circles(&uses);
        complaints.extend(circles.iter().map(|circle| format!("{name}: a circle of {}", circle.join(", "))));
    }
    complaints.extend(PURE.iter().flat_map(|file| impure(&core, file)));
    complaints.extend(CONSTANT.iter().filter(|file| named(&core, file, "format")).map(|file| {
        format!("{file} must not use format!: scripts are constants, and data goes into KEYS and ARGV")
    }));
    let public = tower.files().into_iter().filter(|file| *file != ON_THE_KEEPER);
    let private = public.filter(|file| named(&tower, file, "__private"));
    complaints
        .extend(private.map(|file| format!("dlock-tower: {file} must use the public API of dlock-core")));
    complaints.extend(shared(&[core, tower, macros]));
    Ok(complaints)
}

/// The one file of the layer that may use what dlock-core hides: a way to the keeper, which users must not block.
const ON_THE_KEEPER: &str = "background.rs";

/// Files of dlock-core that decide, and neither wait nor look at a clock.
const PURE: &[&str] = &[
    "backend/embedded/lock.rs",
    "backend/embedded/occupancy.rs",
    "backend/embedded/store.rs",
    "backend/expiring_map.rs",
    "backend/redis/failure.rs",
    "backend/redis/inspection.rs",
    "backend/redis/keys.rs",
    "backend/redis/listing.rs",
    "backend/redis/recipe/mod.rs",
    "backend/redis/redlock/retry.rs",
    "backend/redis/redlock/votes.rs",
    "backend/redis/replies.rs",
    "backend/redis/script_error.rs",
    "backend/redis/servers/address.rs",
    "backend/redis/servers/sentinel_answers.rs",
    "backend/redis/servers/slots.rs",
    "backend/redis/wire.rs",
    "backend/redis/words.rs",
    "backend/share.rs",
    "backend/zookeeper/label.rs",
    "backend/zookeeper/path.rs",
    "backend/zookeeper/recipe/dialect.rs",
    "backend/zookeeper/recipe/order.rs",
    "backend/zookeeper/recipe/sequence.rs",
    "backend/zookeeper/session/transactions.rs",
    "backend/zookeeper/session/validity.rs",
    "hand_over/pending_releases.rs",
    "hand_over/line.rs",
    "hand_over/queue.rs",
    "hand_over/share.rs",
    "renewal/schedule.rs",
    "renewal/table.rs",
    "template.rs",
];

/// Files of dlock-core that call scripts.
const CONSTANT: &[&str] = &["backend/redis/script_calls.rs", "backend/redis/scripts.rs"];

/// Of a hundred types, this many may share their name with another type.
const MOST_SHARED: f64 = 10.0;

fn impure(core: &Crate, file: &str) -> Vec<String> {
    match impurities(core, file) {
        Some(impurities) => {
            let complain =
                |what: String| format!("{file} must stay pure: no async, no clock, no socket, but {what}");
            impurities.into_iter().map(complain).collect()
        }
        None => vec![format!("{file} is listed as pure, but is not there")],
    }
}

fn shared(crates: &[Crate]) -> Option<String> {
    let names = shared_names(crates);
    let list: Vec<_> =
        names.shared.iter().map(|(name, files)| format!("{name} ({})", files.join(", "))).collect();
    (names.percent() > MOST_SHARED).then(|| {
        format!(
            "{:.1} % of all types share their name; at most {MOST_SHARED} % may: {}",
            names.percent(),
            list.join("; ")
        )
    })
}
