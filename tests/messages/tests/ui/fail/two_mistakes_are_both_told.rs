use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order}", ttl = 30, timeout = "2s")]
async fn ship(order_id: u64) -> Result<u64, LockError> {
    Ok(order_id)
}

/// A caller gets no error of its own.
#[allow(dead_code)]
async fn caller() -> Result<u64, LockError> {
    ship(42).await
}

fn main() {}
