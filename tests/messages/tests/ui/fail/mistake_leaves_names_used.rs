use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id}", guard = lock, colour = "red")]
pub async fn ship(order_id: u64) -> Result<u64, LockError> {
    Ok(lock.token().as_u64())
}

fn main() {}
