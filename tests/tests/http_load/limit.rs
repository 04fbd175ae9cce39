//! How many connections a process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those that it starts, have this many connections and the files that they need besides.
pub(crate) fn allow_connections(connections: usize) {
    let wanted = u64::try_from(connections).unwrap() + 500;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        raised.unwrap_or_else(|error| {
            panic!("{wanted} open files are needed; `ulimit -n` allows {current:?}, and at most {maximum:?}: {error}")
        });
    }
}
