use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", max_hold = "0s")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
