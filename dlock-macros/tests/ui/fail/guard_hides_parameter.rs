use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order", guard = order_id)]
async fn ship(order_id: u64) -> Result<(), LockError> {
    let _ = order_id;
    Ok(())
}

fn main() {}
