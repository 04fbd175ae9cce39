use dlock_core::{LockError, distributed_lock};

#[distributed_lock(guard = lock)]
async fn ship(order_id: u64) -> Result<u64, LockError> {
    Ok(order_id + lock.token().as_u64())
}

fn main() {}
