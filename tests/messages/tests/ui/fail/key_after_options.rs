use dlock_core::{LockError, distributed_lock};

#[distributed_lock(ttl = "30s", "nightly")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
