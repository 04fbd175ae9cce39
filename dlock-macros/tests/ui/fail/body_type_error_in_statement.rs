use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
async fn ship(order_id: u64) -> Result<u64, LockError> {
    let text: String = order_id;
    Ok(text.len() as u64)
}

fn main() {}
