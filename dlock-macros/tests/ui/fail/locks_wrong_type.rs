use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order", locks = order_id)]
async fn ship(order_id: u8) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
