use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", release = "background")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
