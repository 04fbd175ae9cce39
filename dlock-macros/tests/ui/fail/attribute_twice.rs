use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
#[distributed_lock("customer")]
async fn ship() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
