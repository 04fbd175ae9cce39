use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order:{a}{b}")]
async fn ship(a: u64, b: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
