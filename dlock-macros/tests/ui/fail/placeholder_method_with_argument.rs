use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id.pow(2)}")]
async fn ship(order_id: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
