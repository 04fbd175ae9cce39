//! What `CLUSTER NODES` says.

use super::ports::loopback;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A cluster as one of its nodes sees it, without what differs between nodes that agree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClusterNodes(Vec<Member>);

/// One node, primaries in first place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    /// The primary's id, for a replica.
    primary: Option<String>,
    address: SocketAddr,
    id: String,
    slots: Vec<(u16, u16)>,
}

impl ClusterNodes {
    /// Leaves out nodes that are only just being met.
    pub(super) fn parse(answer: &str) -> Self {
        let mut members: Vec<Member> = answer.lines().filter_map(Member::parse).collect();
        members.sort();
        Self(members)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn id_of(&self, address: SocketAddr) -> Option<&str> {
        Some(&self.member(address)?.id)
    }

    pub(super) fn owner_of(&self, slot: u16) -> Option<SocketAddr> {
        let owner = self.0.iter().find(|member| member.owns(slot))?;
        Some(owner.address)
    }

    /// The nodes that are no replicas and own slots.
    pub(super) fn primaries(&self) -> Vec<SocketAddr> {
        let primaries = self.0.iter().filter(|member| member.primary.is_none() && !member.slots.is_empty());
        primaries.map(|member| member.address).collect()
    }

    pub(super) fn replicas_of(&self, primary: SocketAddr) -> Vec<SocketAddr> {
        let Some(id) = self.id_of(primary) else { return Vec::new() };
        let replicas = self.0.iter().filter(|member| member.primary.as_deref() == Some(id));
        replicas.map(|member| member.address).collect()
    }

    fn member(&self, address: SocketAddr) -> Option<&Member> {
        self.0.iter().find(|member| member.address == address)
    }
}

impl Member {
    /// From `ID HOST:PORT@BUS FLAGS PRIMARY PING PONG EPOCH LINK SLOT…`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, place, flags, primary) = (words.next()?, words.next()?, words.next()?, words.next()?);
        if flags.contains("handshake") || flags.contains("noaddr") {
            return None;
        }
        Some(Self {
            primary: (primary != "-").then(|| primary.to_owned()),
            // Whatever host it announces, it listens here.
            address: loopback(place.split('@').next()?.rsplit_once(':')?.1.parse().ok()?),
            id: id.to_owned(),
            slots: words.skip(4).filter_map(slots).collect(),
        })
    }

    fn owns(&self, slot: u16) -> bool {
        self.slots.iter().any(|&(first, last)| RangeInclusive::new(first, last).contains(&slot))
    }
}

/// `FIRST-LAST` or one slot; nothing for a slot on the move, `[SLOT->-ID]`.
fn slots(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "b 127.0.0.1:2@12 slave a 0 1 1 connected\n\
        a 127.0.0.1:1@11,host myself,master - 0 0 1 connected 0-99 101 [99->-c] [100-<-c]\n\
        c ::1:3@13 master,fail - 0 1 2 disconnected 100\n\
        d 127.0.0.1:4@14 handshake - 0 0 0 disconnected\n";

    #[test]
    fn owners_and_replicas_are_read() {
        let nodes = ClusterNodes::parse(ANSWER);
        assert_eq!(nodes.len(), 3);
        let owners = [0, 99, 100, 101, 102].map(|slot| nodes.owner_of(slot));
        assert_eq!(owners, [Some(1), Some(1), Some(3), Some(1), None].map(|port| port.map(loopback)));
        assert_eq!(nodes.primaries(), [loopback(1), loopback(3)]);
        assert_eq!(nodes.replicas_of(loopback(1)), [loopback(2)]);
        assert_eq!(nodes.id_of(loopback(3)), Some("c"));
    }

    #[test]
    fn nodes_that_agree_are_equal_in_any_order() {
        let lines: Vec<&str> = ANSWER.lines().rev().collect();
        let other = lines.join("\n").replace("myself,", "").replace("0 1 2", "0 7 2");
        assert_eq!(ClusterNodes::parse(ANSWER), ClusterNodes::parse(&other));
    }
}
