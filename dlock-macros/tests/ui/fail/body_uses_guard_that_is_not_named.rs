use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
async fn ship() -> Result<u64, LockError> {
    Ok(lock.token().as_u64())
}

fn main() {}
