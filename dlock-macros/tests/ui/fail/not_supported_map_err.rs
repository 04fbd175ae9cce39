use dlock_core::{LockError, distributed_lock};

#[distributed_lock("order", map_err = From::from)]
async fn ship(_order_id: u64) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
