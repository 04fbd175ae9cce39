use dlock_core::{LockError, distributed_lock};
use std::rc::Rc;

#[distributed_lock("nightly")]
async fn nightly() -> Result<Rc<u8>, LockError> {
    Ok(Rc::new(7))
}

fn spawn(_: impl Send) {}

fn main() {
    spawn(nightly());
}
