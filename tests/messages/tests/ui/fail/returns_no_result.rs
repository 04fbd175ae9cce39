use dlock_core::distributed_lock;

#[distributed_lock("order:{order_id}")]
async fn ship(order_id: u64) -> u64 {
    order_id
}

fn main() {}
