use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order")]
fn ship() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
