use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{order}", guard = order)]
async fn ship(order: u64) -> Result<u64, LockError> {
    Ok(order)
}

fn main() {}
