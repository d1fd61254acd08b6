//! Ids of synthesized leaves.

use crate::SmolStr;
use smol_str::SmolStrBuilder;

/// Ids of frames: unique across nodes and runs. They do not begin with a connection id, so that
/// clients take their leaves for synthesized (RTP2b1).
#[derive(Clone, Debug)]
pub(super) struct LeaveIds {
    prefix: SmolStr,
    /// Number of the last frame; `None` with a log: then ids derive from serials, alike on every
    /// node.
    made: Option<u64>,
}

impl LeaveIds {
    pub(super) fn new(node: &str, epoch: u64) -> Self {
        Self { prefix: alloc::format!("{node}:{epoch:08x}").into(), made: Some(0) }
    }

    /// Ids of a server with a log.
    pub(super) const fn of_log() -> Self {
        Self { prefix: SmolStr::new_static("log"), made: None }
    }

    /// The id of the next frame. `serial` is that of its leaves.
    pub(super) fn next(&mut self, serial: u64) -> SmolStr {
        let number = self.made.map_or(serial, |made| made + 1);
        self.made = self.made.map(|_| number);
        let mut id = SmolStrBuilder::new();
        id.push_str(&self.prefix);
        id.push(':');
        id.push_str(itoa::Buffer::new().format(number));
        id.finish()
    }

    /// Whether the ids begin with this text.
    pub(super) fn have_prefix(&self, text: &str) -> bool {
        self.prefix.starts_with(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp2b1_prefixes_of_leave_ids_are_recognized() {
        let mut ids = LeaveIds::new("node", 7);
        let id = ids.next(0);
        assert!(["n", "node", "node:0000"].iter().all(|text| id.starts_with(text)));
        assert!(["n", "node", "node:0000"].iter().all(|text| ids.have_prefix(text)));
        assert!(!ids.have_prefix("ode") && !ids.have_prefix(&id));
    }

    #[test]
    fn ids_of_a_log_derive_from_serials() {
        let (mut a, mut b) = (LeaveIds::of_log(), LeaveIds::of_log());
        a.next(1);
        assert_eq!(a.next(7), b.next(7));
        assert_ne!(a.next(8), a.next(7));
    }
}
