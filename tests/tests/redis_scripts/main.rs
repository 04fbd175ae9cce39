//! The scripts of the Redis queue against a model in Rust, by random steps: owners that ask, wait, renew, give
//! up and come late, processes that crash, foreign clients, operators, and time that passes.
//!
//! After each step all answers, all messages and all keys are compared, and what dlock promises is checked for
//! the whole run. `broken.rs` shows that broken scripts are noticed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on must fail"
)]

mod broken;
mod edges;
mod forced;
mod history;
mod model;
mod outside;
mod plain;
mod run;
mod script;
mod server;
mod span;
mod state;
mod step;

use dlock_tests::{printed_seed, shared_redis};
use model::Conduct;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use run::Judge;
use script::Scripts;

/// Times that do not end while a test runs, in ms.
const FAR: i64 = 3_600_000;

/// Each waiter in its turn.
const FAIR: Conduct =
    Conduct { barging: false, quarantine: 0, between_gaps: 0, gap: 0, monitored: false, namespace: "" };
const BARGING: Conduct = Conduct { barging: true, ..FAIR };
const WITH_GAPS: Conduct = Conduct { between_gaps: 2 * FAR, gap: FAR, ..FAIR };
const WITH_QUARANTINE: Conduct = Conduct { quarantine: FAR, ..FAIR };
const MONITORED: Conduct = Conduct { monitored: true, ..FAIR };
const IN_A_NAMESPACE: Conduct = Conduct { namespace: "shop:", ..FAIR };

fn agree(conduct: Conduct) {
    agree_with(&Scripts::real(), conduct);
}

/// `PROPTEST_CASES` asks for more.
fn agree_with(scripts: &Scripts, conduct: Conduct) {
    let rng_seed = RngSeed::Fixed(printed_seed());
    let config = Config { failure_persistence: None, max_shrink_time: 20_000, rng_seed, ..Config::default() };
    let steps = step::steps(conduct);
    let server = shared_redis();
    TestRunner::new(config)
        .run(&steps, |steps| run::run(server, scripts, Judge::ModelAndPromises, conduct, &steps))
        .unwrap();
}

#[test]
fn the_scripts_do_as_the_model() {
    agree(FAIR);
}

#[test]
fn what_is_done_in_batches_is_as_the_model() {
    agree_with(&Scripts::real().in_batches(), FAIR);
    agree_with(&Scripts::real().in_batches(), WITH_GAPS);
}

#[test]
fn barging_is_as_the_model() {
    agree(BARGING);
}

#[test]
fn gaps_are_as_the_model() {
    agree(WITH_GAPS);
}

#[test]
fn quarantine_is_as_the_model() {
    agree(WITH_QUARANTINE);
}

#[test]
fn a_monitor_is_as_the_model() {
    agree(MONITORED);
    agree(Conduct { monitored: true, ..BARGING });
}

#[test]
fn a_namespace_is_as_the_model() {
    agree(IN_A_NAMESPACE);
    agree_with(&Scripts::real().in_batches(), Conduct { namespace: "{shop}:", ..MONITORED });
}

#[test]
fn all_at_once_is_as_the_model() {
    agree(Conduct { quarantine: FAR, monitored: true, ..WITH_GAPS });
}
