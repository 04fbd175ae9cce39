use dlock_core::{distributed_lock};

#[distributed_lock("order")]
async fn ship() -> u32 {
    7
}

fn main() {}
