use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", ttl = "30 secs")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
