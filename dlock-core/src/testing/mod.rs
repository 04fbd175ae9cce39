//! For whoever writes a backend: the conformance suite. Exempt from semver.

pub mod conformance;
