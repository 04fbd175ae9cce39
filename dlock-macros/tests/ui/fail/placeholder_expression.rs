use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id + 1}")]
async fn ship(order_id: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
