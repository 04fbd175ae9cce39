//! Which process this is.

/// The number of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessId(#[cfg(unix)] rustix::process::Pid);

impl ProcessId {
    #[cfg(unix)]
    pub(super) fn of_this() -> Self {
        Self(rustix::process::getpid())
    }

    /// Where there is no fork, every process is this one.
    #[cfg(not(unix))]
    pub(super) fn of_this() -> Self {
        Self()
    }

    pub(super) fn is_this(self) -> bool {
        self == Self::of_this()
    }
}
