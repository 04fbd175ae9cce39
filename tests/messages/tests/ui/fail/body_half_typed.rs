use dlock_core::{LockError, distributed_lock};

struct Order {
    id: u64,
}

#[distributed_lock("order:{order.id}")]
async fn ship(order: &Order) -> Result<u64, LockError> {
    let id = order.
}

fn main() {}
