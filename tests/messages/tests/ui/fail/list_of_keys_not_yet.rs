use dlock_core::{LockError, distributed_lock};

#[distributed_lock(["a", "b"])]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
