use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{tenant}-{order_id}")]
async fn ship(tenant: &str, order_id: u64) -> Result<usize, LockError> {
    Ok(tenant.len() + order_id as usize)
}

fn main() {}
