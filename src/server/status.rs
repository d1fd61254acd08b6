//! What a node knows of the log and of the other nodes.

use super::replication::Phase;
use super::{LogPosition, Server};
use crate::SmolStr;
use alloc::vec::Vec;

/// The state of a node with regard to its log, for readiness checks and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStatus {
    /// Whether the node takes clients: it has joined, and hears entries of its own.
    pub is_ready: bool,
    /// Whether the log can be reached, as the host says.
    pub is_available: bool,
    /// The position of the last entry that was applied.
    pub position: LogPosition,
    /// The position with which this run of the node has joined; `None` if it does not take part.
    pub incarnation: Option<LogPosition>,
    /// Entries that were passed in and are not applied.
    pub unapplied: usize,
    /// Entries of this node that were appended and have not come back.
    pub unconfirmed: usize,
    /// Records of this node that wait to be appended.
    pub waiting: usize,
    /// The runs of the nodes, oldest first: those that take part, and those that are gone but have
    /// connections left.
    pub nodes: Vec<NodeStatus>,
}

/// A run of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its name.
    pub node: SmolStr,
    /// The position with which it has joined.
    pub incarnation: LogPosition,
    /// Whether it takes part: it is neither gone nor stopping.
    pub is_active: bool,
}

impl Server {
    /// The state of the node with regard to its log; `None` without a log.
    #[must_use]
    pub fn log_status(&self) -> Option<LogStatus> {
        let replication = self.replication.as_ref()?;
        let nodes = self.state.incarnations()?.iter().map(|(number, found)| NodeStatus {
            node: found.node().clone(),
            incarnation: LogPosition(number),
            is_active: found.is_active(),
        });
        Some(LogStatus {
            is_ready: replication.phase != Phase::Halted && self.takes_clients(),
            is_available: replication.is_available(),
            position: LogPosition(self.state.position()),
            incarnation: replication.incarnation().map(LogPosition),
            unapplied: replication.committed.len() + usize::from(replication.applying.is_some()),
            unconfirmed: replication.proposals.unconfirmed(),
            waiting: replication.proposals.waiting(),
            nodes: nodes.collect(),
        })
    }
}
