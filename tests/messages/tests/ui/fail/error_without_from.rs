use dlock_core::distributed_lock;

struct Other;

#[distributed_lock("order:{order_id}")]
async fn ship(order_id: u64) -> Result<u64, Other> {
    Ok(order_id)
}

fn main() {}
