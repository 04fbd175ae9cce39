use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{ordr_id}:{cuont}")]
async fn ship(order_id: u64, count: u8) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
