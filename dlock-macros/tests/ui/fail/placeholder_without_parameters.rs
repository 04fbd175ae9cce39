use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order_id}")]
async fn ship() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
