//! The scripts' texts, as `scripts.rs` in dlock-core puts them together, and broken ones.

/// The texts of the scripts of the queue.
#[derive(Debug, Clone)]
pub(crate) struct Scripts {
    pub(crate) acquire: String,
    pub(crate) release: String,
    pub(crate) renew: String,
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
            acquire: text!("tokens", "acquire_free", "grant", "acquire").to_owned(),
            release: text!("tokens", "release_only", "grant", "release").to_owned(),
            renew: text!("renew").to_owned(),
        }
    }

    /// The scripts with a piece of their text replaced, which one of them must have.
    pub(crate) fn with(old: &str, new: &str) -> Self {
        let Self { acquire, release, renew } = Self::real();
        assert!([&acquire, &release, &renew].iter().any(|text| text.contains(old)), "no script has {old:?}");
        let broken = |text: String| text.replace(old, new);
        Self { acquire: broken(acquire), release: broken(release), renew: broken(renew) }
    }
}
