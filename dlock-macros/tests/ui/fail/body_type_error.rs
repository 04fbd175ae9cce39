use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
async fn ship() -> Result<String, LockError> {
    Ok(7)
}

fn main() {}
