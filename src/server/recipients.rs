//! The recipients of a frame.

use crate::TransportId;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The transports that receive a frame: a shared snapshot.
#[derive(Clone, Debug)]
pub struct Recipients {
    list: Option<Arc<Vec<TransportId>>>,
    /// One more transport, outside the list: that of the member's own connection (RTP17a).
    extra: Option<TransportId>,
    /// A transport in the list that does not receive the frame: that of a publisher without echo
    /// (RTN2b).
    except: Option<TransportId>,
}

impl Recipients {
    pub(super) const fn new(
        list: Arc<Vec<TransportId>>,
        extra: Option<TransportId>,
        except: Option<TransportId>,
    ) -> Self {
        Self { list: Some(list), extra, except }
    }

    pub(super) fn one(transport: TransportId) -> Self {
        Self { list: None, extra: Some(transport), except: None }
    }

    /// The transports, without duplicates. Their order depends on the inputs only.
    pub fn iter(&self) -> impl Iterator<Item = TransportId> + '_ {
        let except = self.except;
        self.list().iter().copied().filter(move |id| Some(*id) != except).chain(self.extra)
    }

    fn list(&self) -> &[TransportId] {
        self.list.as_ref().map_or(&[], |list| list)
    }

    /// Number of transports.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().len() + usize::from(self.extra.is_some()) - usize::from(self.except.is_some())
    }

    /// Whether there are no transports.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Equal if they iterate over the same transports in the same order.
impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Recipients {}
