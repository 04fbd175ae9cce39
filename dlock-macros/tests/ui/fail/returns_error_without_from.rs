use dlock_core::{distributed_lock};

pub struct Other;

#[distributed_lock("order")]
async fn ship() -> Result<u64, Other> {
    Ok(7)
}

fn main() {}
