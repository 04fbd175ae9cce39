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
    Layer { name: "leaves", files: &["error.rs", "key/", "lease/", "template.rs", "time.rs"], below: &[] },
    Layer { name: "seam", files: &["backend/"], below: &["leaves"] },
    Layer { name: "embedded", files: &["backend/embedded/"], below: &["leaves", "seam"] },
    Layer { name: "redis", files: &["backend/redis/"], below: &["leaves", "seam"] },
    Layer { name: "zookeeper", files: &["backend/zookeeper/"], below: &["leaves", "seam"] },
    Layer { name: "acquisition", files: &["acquisition.rs", "lease/view.rs"], below: &["leaves", "seam"] },
    Layer { name: "spans", files: &["spans.rs"], below: &["leaves", "seam"] },
    Layer { name: "hand-over", files: &["hand_over/"], below: &["leaves", "seam"] },
    Layer { name: "release", files: &["release.rs"], below: &["leaves", "seam"] },
    Layer { name: "renewal", files: &["renewal/"], below: &["leaves", "seam", "acquisition"] },
    Layer {
        name: "locks",
        files: &[
            "attempt.rs",
            "connect.rs",
            "current.rs",
            "guard.rs",
            "lib.rs",
            "manager.rs",
            "private.rs",
            "request.rs",
            "scope.rs",
            "shared.rs",
        ],
        below: &[
            "leaves",
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
        below: &["leaves", "seam", "embedded", "hand-over", "locks"],
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
