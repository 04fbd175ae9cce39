use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id")]
async fn ship(order_id: u64) -> Result<u64, LockError> {
    Ok(order_id)
}

fn main() {}
