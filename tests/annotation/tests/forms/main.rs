//! Code under the annotation that must compile and run, a file for each kind.
#![allow(
    clippy::double_must_use,
    clippy::never_loop,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "the code is as users may write it"
)]

mod from_macro_rules;
mod no_prelude;
mod renamed_crate;
mod shadowed_names;
mod signatures;
