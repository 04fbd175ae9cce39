use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", wait = 2 + 2)]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
