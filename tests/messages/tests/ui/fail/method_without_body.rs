use dlock_core::{LockError, distributed_lock};

trait Shop {
    #[distributed_lock("order:{order_id}")]
    async fn ship(&self, order_id: u64) -> Result<u64, LockError>;
}

fn main() {}
