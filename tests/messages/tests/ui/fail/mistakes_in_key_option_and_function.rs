use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{ordr_id}-{customer}", ttl = 30, release = "later", timeout = "2s")]
fn ship(order_id: u64, customer: u64) -> Result<u64, LockError> {
    Ok(order_id + customer)
}

async fn caller() -> Result<u64, LockError> {
    ship(1, 2)
}

fn main() {}
