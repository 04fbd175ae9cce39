use dlock_core::{LockError, distributed_lock};

#[distributed_lock("nightly", on_busy = , map_err = LockError::)]
async fn nightly() -> Result<u8, LockError> {
    Ok(7)
}

async fn caller() -> Result<u8, LockError> {
    nightly().await
}

fn main() {}
