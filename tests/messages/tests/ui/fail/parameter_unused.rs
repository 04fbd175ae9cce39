#![deny(unused_variables)]

use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly")]
pub async fn nightly(unused: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
