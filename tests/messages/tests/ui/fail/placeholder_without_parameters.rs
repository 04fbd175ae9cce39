use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id}")]
async fn ship() -> Result<u64, LockError> {
    Ok(7)
}

fn main() {}
