//! Seeds of random steps.

use crate::servers::random_u64;

/// The seed for a `proptest`, printed so that a failure can be repeated: what `PROPTEST_RNG_SEED` says, or a random one.
pub fn printed_seed() -> u64 {
    let told = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = told.unwrap_or_else(random_u64);
    println!("to repeat these steps: PROPTEST_RNG_SEED={seed}");
    seed
}
