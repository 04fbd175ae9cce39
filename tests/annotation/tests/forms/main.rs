//! Code under the annotation that must compile and run, a file for each kind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod from_macro_rules;
mod no_prelude;
mod renamed_crate;
mod shadowed_names;
mod signatures;
