//! The scripts' texts, as `scripts.rs` in dlock-core puts them together, and broken ones.

/// The texts of the scripts of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    pub(crate) acquire: String,
    pub(crate) release: String,
    pub(crate) renew: String,
    /// For many requests at once.
    pub(crate) batch: String,
    /// Whether every request that may goes in a batch first.
    pub(crate) in_batches: bool,
}

macro_rules! text {
    ($($file:literal),+) => {
        concat!($(include_str!(concat!("../../../dlock-core/src/backend/redis/scripts/", $file, ".lua"))),+)
    };
}
pub(crate) use text;

impl Scripts {
    pub(crate) fn real() -> Self {
        Self {
            acquire: text!(
                "keys",
                "prelude",
                "number",
                "acquire_free",
                "acquire_held",
                "tell",
                "grant",
                "acquire"
            )
            .to_owned(),
            release: text!(
                "keys",
                "release_only",
                "prelude",
                "number",
                "tell",
                "release_next",
                "grant",
                "release"
            )
            .to_owned(),
            renew: text!("renew").to_owned(),
            batch: text!("number", "batch").to_owned(),
            in_batches: false,
        }
    }

    /// The scripts with a piece of their text replaced, which one of them must have.
    pub(crate) fn with(old: &str, new: &str) -> Self {
        let Self { acquire, release, renew, batch, in_batches } = Self::real();
        let texts = [acquire, release, renew, batch];
        assert!(texts.iter().any(|text| text.contains(old)), "no script has {old:?}");
        let [acquire, release, renew, batch] = texts.map(|text| text.replace(old, new));
        Self { acquire, release, renew, batch, in_batches }
    }

    pub(crate) fn in_batches(self) -> Self {
        Self { in_batches: true, ..self }
    }
}
