//! Who a frame goes to.

use crate::TransportId;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The transports that one frame goes to: a snapshot that is shared, not copied.
#[derive(Clone, Debug)]
pub struct Recipients {
    list: Option<Arc<Vec<TransportId>>>,
    /// A transport beside the list: the member's own connection, which hears of its members
    /// whatever its modes (RTP17a).
    extra: Option<TransportId>,
    /// A transport of the list that is left out: the publisher's own, if it wants no echo (RTN2b).
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

    /// One transport.
    pub(super) fn one(transport: TransportId) -> Self {
        Self { list: None, extra: Some(transport), except: None }
    }

    /// The transports, in an order that the inputs alone decide. None comes twice.
    pub fn iter(&self) -> impl Iterator<Item = TransportId> + '_ {
        let except = self.except;
        self.list().iter().copied().filter(move |id| Some(*id) != except).chain(self.extra)
    }

    fn list(&self) -> &[TransportId] {
        self.list.as_ref().map_or(&[], |list| list)
    }

    /// How many transports there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list().len() + usize::from(self.extra.is_some()) - usize::from(self.except.is_some())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Recipients are equal if they are the same transports in the same order.
impl PartialEq for Recipients {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Recipients {}
