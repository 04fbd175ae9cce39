//! A lock node.

/// An owner's node in the directory of its key.
#[derive(Debug, Clone)]
pub(crate) struct LockNode {
    pub(crate) path: String,
    /// The transaction that made the node, from which its fencing tokens come (I2). Unlike the sequence number, it also
    /// rises when the directory is removed and made again.
    pub(crate) created: i64,
}

impl LockNode {
    /// The name in the directory.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }
}
