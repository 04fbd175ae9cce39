#![deny(unused_variables)]

use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", guard = lock)]
pub async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
