use dlock_core::{LockError, distributed_lock};

#[distributed_lock(42)]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
