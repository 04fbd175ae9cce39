use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", on_lost = "panic")]
async fn nightly() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
