use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", on_busy = "skipped")]
async fn nightly() -> Result<u8, LockError> {
    Ok(7)
}

fn main() {}
