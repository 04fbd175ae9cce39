//! What clients and servers say to each other.

use crate::store::{Cents, Grab};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What the clients' packet is, and whether its grabs take the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// Grabbed from without a lock.
    Unlocked,
    /// Grabbed from under the lock, with the fencing token.
    Locked,
}

impl Packet {
    /// How many packets there are.
    pub(crate) const COUNT: i64 = 2;

    /// The packet's number in the store.
    pub(crate) fn id(self) -> i64 {
        match self {
            Self::Unlocked => 1,
            Self::Locked => 2,
        }
    }

    /// Where a server takes grabs at this packet.
    pub(crate) fn uri(self, server: SocketAddr, grab: u32) -> String {
        let route = match self {
            Self::Unlocked => "unlocked",
            Self::Locked => "locked",
        };
        format!("http://{server}/{route}/packets/{}/grabs/{grab}", self.id())
    }
}

/// The routes of [`Packet::uri`].
pub(crate) const UNLOCKED_ROUTE: &str = "/unlocked/packets/{packet}/grabs/{grab}";
/// The routes of [`Packet::uri`].
pub(crate) const LOCKED_ROUTE: &str = "/locked/packets/{packet}/grabs/{grab}";

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
