use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", ttl = "0s")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
