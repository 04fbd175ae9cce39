//! What clients and servers say to each other.

use crate::store::{Cents, Grab};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// A packet, by how its grabs are kept from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Grabbed from without a lock.
    Unlocked,
    /// Grabbed from under one lock, with the fencing token.
    Locked,
    /// Cut into stripes. Each is grabbed from under a lock of its own, with the fencing token.
    Striped,
}

impl Packet {
    /// The packet's number in the store.
    pub(crate) fn id(self) -> i64 {
        match self {
            Self::Unlocked => 1,
            Self::Locked => 2,
            Self::Striped => 3,
        }
    }

    /// Where a server takes grabs at this packet.
    pub(crate) fn uri(self, server: SocketAddr, grab: u32) -> String {
        let route = match self {
            Self::Unlocked => "unlocked",
            Self::Locked => "locked",
            Self::Striped => "striped",
        };
        format!("http://{server}/{route}/packets/{}/grabs/{grab}", self.id())
    }
}

/// The routes of [`Packet::uri`].
pub(crate) const UNLOCKED_ROUTE: &str = "/unlocked/packets/{packet}/grabs/{grab}";
/// The routes of [`Packet::uri`].
pub(crate) const LOCKED_ROUTE: &str = "/locked/packets/{packet}/grabs/{grab}";
/// The routes of [`Packet::uri`].
pub(crate) const STRIPED_ROUTE: &str = "/striped/packets/{packet}/grabs/{grab}";

/// The path parameters of the routes.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct GrabPath {
    packet: i64,
    grab: i64,
}

impl From<GrabPath> for Grab {
    fn from(path: GrabPath) -> Self {
        Self { packet: path.packet, number: path.grab }
    }
}

/// How a server answers a grab.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// What the grab gets.
    pub(crate) answer: Answer,
    /// How long reading, thinking and writing took. Waiting for a lock is no part of it.
    pub(crate) work: Duration,
}

/// What a grab gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub(crate) enum Answer {
    /// A share of the packet.
    Paid {
        /// How much.
        cents: Cents,
    },
    /// The packet was empty.
    Empty,
}
