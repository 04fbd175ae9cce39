use dlock_core::{distributed_lock};

#[distributed_lock("order")]
async fn ship() -> impl Iterator<Item = u8> {
    [1].into_iter()
}

fn main() {}
