use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", colour = "30s")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
