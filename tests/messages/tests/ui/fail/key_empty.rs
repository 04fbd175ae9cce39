use dlock_core::{LockError, distributed_lock};

#[distributed_lock("")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
