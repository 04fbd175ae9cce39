//! Circles of files.

use crate::uses::Use;
use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use std::collections::BTreeSet;

/// Every group of files of which each one uses each other one, directly or by way of others of the group.
pub fn circles(uses: &BTreeSet<Use>) -> Vec<Vec<&str>> {
    let graph: DiGraphMap<&str, ()> = uses.iter().map(|it| (it.from.as_str(), it.to.as_str())).collect();
    let mut circles: Vec<_> = tarjan_scc(&graph).into_iter().filter(|group| group.len() > 1).collect();
    circles.iter_mut().for_each(|group| group.sort_unstable());
    circles.sort_unstable();
    circles
}
