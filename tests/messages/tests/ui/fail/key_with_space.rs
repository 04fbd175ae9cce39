use dlock_core::{LockError, distributed_lock};

#[distributed_lock("the nightly job")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
