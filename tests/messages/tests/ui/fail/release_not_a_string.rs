use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", release = detach)]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
