//! Ids of synthesized leaves.

use crate::SmolStr;
use smol_str::SmolStrBuilder;

/// Ids of frames: unique across nodes and runs. They do not begin with a connection id, so that
/// clients take their leaves for synthesized (RTP2b1).
#[derive(Clone, Debug)]
pub(super) struct LeaveIds {
    prefix: SmolStr,
    made: u64,
}

impl LeaveIds {
    pub(super) fn new(node: &str, epoch: u64) -> Self {
        Self { prefix: alloc::format!("{node}:{epoch:08x}").into(), made: 0 }
    }

    pub(super) fn next(&mut self) -> SmolStr {
        self.made += 1;
        let mut id = SmolStrBuilder::new();
        id.push_str(&self.prefix);
        id.push(':');
        id.push_str(itoa::Buffer::new().format(self.made));
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
        let id = ids.next();
        assert!(["n", "node", "node:0000"].iter().all(|text| id.starts_with(text)));
        assert!(["n", "node", "node:0000"].iter().all(|text| ids.have_prefix(text)));
        assert!(!ids.have_prefix("ode") && !ids.have_prefix(&id));
    }
}
