use dlock_core::{LockError, distributed_lock};
use std::rc::Rc;

#[distributed_lock("order")]
async fn ship() -> Result<Rc<u8>, LockError> {
    Ok(Rc::new(7))
}

fn spawn(_: impl Send) {}

pub fn caller() {
    spawn(ship());
}

fn main() {}
