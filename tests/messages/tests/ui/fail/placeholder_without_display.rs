use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id}")]
async fn ship(order_id: Option<u64>) -> Result<Option<u64>, LockError> {
    Ok(order_id)
}

fn main() {}
