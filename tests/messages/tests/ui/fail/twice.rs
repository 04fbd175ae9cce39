use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id}")]
#[distributed_lock("stock")]
async fn ship(order_id: u64) -> Result<u64, LockError> {
    Ok(order_id)
}

fn main() {}
