//! The layers of dlock-core, as ARCHITECTURE.md draws them.

use crate::uses::Use;
use std::collections::BTreeSet;

/// Files that may use the same other files.
struct Layer {
    name: &'static str,
    /// Files, and directories with everything below them. The longest one that fits a file counts.
    files: &'static [&'static str],
    /// The other layers that it may use.
    below: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "errors",
        files: &["error.rs", "guarantees.rs", "key/", "label/", "template.rs"],
        below: &[],
    },
    Layer { name: "keeper", files: &["keeper/"], below: &["errors"] },
    Layer { name: "leases", files: &["lease/", "time/"], below: &["errors", "keeper"] },
    Layer { name: "seam", files: &["backend/"], below: &["errors", "keeper", "leases"] },
    Layer { name: "embedded", files: &["backend/embedded/"], below: &["errors", "keeper", "leases", "seam"] },
    Layer { name: "redis", files: &["backend/redis/"], below: &["errors", "keeper", "leases", "seam"] },
    Layer {
        name: "zookeeper",
        files: &["backend/zookeeper/"],
        below: &["errors", "keeper", "leases", "seam"],
    },
    Layer {
        name: "acquisition",
        files: &["acquisition.rs", "lease/view.rs"],
        below: &["errors", "leases", "seam"],
    },
    Layer { name: "spans", files: &["spans.rs"], below: &["errors", "leases", "seam"] },
    Layer { name: "release", files: &["release.rs"], below: &["errors", "leases", "seam"] },
    Layer {
        name: "hand-over",
        files: &["hand_over/"],
        below: &["errors", "keeper", "leases", "seam", "release"],
    },
    Layer {
        name: "renewal",
        files: &["renewal/"],
        below: &["errors", "keeper", "leases", "seam", "acquisition", "release"],
    },
    Layer {
        name: "locks",
        files: &[
            "admin.rs",
            "attempt.rs",
            "connect.rs",
            "current.rs",
            "ending.rs",
            "guard.rs",
            "handles.rs",
            "holding.rs",
            "inspect.rs",
            "kind.rs",
            "lib.rs",
            "manager.rs",
            "other_number.rs",
            "private.rs",
            "request.rs",
            "scope.rs",
            "semaphore.rs",
            "settings.rs",
            "shared.rs",
        ],
        below: &[
            "errors",
            "keeper",
            "leases",
            "seam",
            "embedded",
            "redis",
            "zookeeper",
            "acquisition",
            "spans",
            "hand-over",
            "release",
            "renewal",
        ],
    },
    Layer {
        name: "testing",
        files: &["testing/"],
        below: &["errors", "leases", "seam", "embedded", "hand-over", "locks"],
    },
];

/// What is wrong with the layers: files without one, and uses that no layer allows.
pub(crate) fn misplaced(files: &BTreeSet<&str>, uses: &BTreeSet<Use>) -> Vec<String> {
    let homeless = files.iter().filter(|file| layer_of(file).is_none());
    let homeless =
        homeless.map(|file| format!("{file} belongs to no layer; name it in tests/structure/src/layers.rs"));
    let wrong = uses.iter().filter(|it| !is_allowed(it));
    let wrong = wrong.map(|it| format!("{} must not use {} of {}", it.from, it.item, it.to));
    homeless.chain(wrong).collect()
}

fn is_allowed(it: &Use) -> bool {
    match (layer_of(&it.from), layer_of(&it.to)) {
        (Some(from), Some(to)) => from.name == to.name || from.below.contains(&to.name),
        _ => false,
    }
}

fn layer_of(file: &str) -> Option<&'static Layer> {
    let fits = |place: &str| if place.ends_with('/') { file.starts_with(place) } else { file == place };
    let longest =
        |layer: &Layer| layer.files.iter().filter(|place| fits(place)).map(|place| place.len()).max();
    LAYERS
        .iter()
        .filter_map(|layer| Some((longest(layer)?, layer)))
        .max_by_key(|(length, _)| *length)
        .map(|it| it.1)
}
