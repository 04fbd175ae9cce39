#![deny(dead_code, unused_variables)]

use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
async fn never_called(unused: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
