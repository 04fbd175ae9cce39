//! Work that goes on though no request is polled: on the library's own thread. The one hidden part of dlock-core that the
//! layer uses; it is not for users, as that thread must not be blocked.

pub(crate) use dlock_core::__private::{Attended, attend};
