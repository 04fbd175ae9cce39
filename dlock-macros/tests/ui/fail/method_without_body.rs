use dlock_core::{LockError, distributed_lock};

trait Shop {
    #[distributed_lock("order")]
    async fn ship(&self) -> Result<(), LockError>;
}

fn main() {}
