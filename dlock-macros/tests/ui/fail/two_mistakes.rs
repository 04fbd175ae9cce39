use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{}", retries = 3, guard = lock, ttl = 30)]
async fn ship(_order_id: u64) -> Result<(), LockError> {
    let _ = lock.token();
    Ok(())
}

fn main() {}
