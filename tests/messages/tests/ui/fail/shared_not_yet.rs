use dlock_core::{LockError, distributed_lock};

#[distributed_lock("report", shared)]
async fn report() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
