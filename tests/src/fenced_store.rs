//! What a lock protects.

/// A store that refuses a fencing token below one that it has seen.
#[derive(Debug, Default)]
pub struct FencedStore {
    newest: u64,
}

impl FencedStore {
    /// Whether a write under this token is accepted.
    pub fn write(&mut self, token: u64) -> bool {
        let accepted = token >= self.newest;
        self.newest = self.newest.max(token);
        accepted
    }
}
