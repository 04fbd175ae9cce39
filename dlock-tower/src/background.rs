//! Work that goes on even if no request is polled, on the library's own thread. This is the one hidden part of
//! dlock-core that the layer uses. It is not for users, since that thread must not be blocked.

pub(crate) use dlock_core::__private::{Attended, attend};
