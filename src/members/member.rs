//! A member: its stored record, and read access to it.

use super::Slot;
use super::incoming::Incoming;
use super::newness::{self, Sequence, Version};
use crate::ring::{Linked, Links};
use crate::slab::Cell;
use crate::wire::{Data, Id, Item, PresenceAction, PresenceMessage, Value};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, sync::Arc};
use smol_str::SmolStrBuilder;

/// A stored member. Optimized for size: the key is stored once, an id of the usual form is stored
/// as two numbers, and rare fields are allocated separately.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) client_id: SmolStr,
    pub(super) connection_id: SmolStr,
    pub(super) data: Option<Data>,
    serial: i64,
    index: u32,
    id_form: IdForm,
    /// Marked ABSENT until the running sync ends (RTP2h2a).
    pub(super) absent: bool,
    /// For an ABSENT member: a LEAVE must be delivered at the end of the sync, because subscribers
    /// received the member.
    pub(super) leave_pending: bool,
    /// The number of the last sync that confirmed the member (RTP19).
    pub(super) last_sync: u32,
    pub(super) timestamp: UnixMillis,
    rare: Option<Arc<RareFields>>,
    /// Links in the list of members with the same client id.
    pub(super) links: Links<Slot>,
}

/// An empty cell holds an empty record.
impl Cell for Record {
    type Value = Self;

    fn new(record: Self) -> Self {
        record
    }
    fn empty() -> Self {
        Self::default()
    }
    fn get(&self, occupied: bool) -> Option<&Self> {
        occupied.then_some(self)
    }
    fn get_mut(&mut self, occupied: bool) -> Option<&mut Self> {
        occupied.then_some(self)
    }
    fn take(&mut self) -> Option<Self> {
        Some(core::mem::take(self))
    }
}

impl Linked<Slot> for Record {
    fn links(&mut self) -> &mut Links<Slot> {
        &mut self.links
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum IdForm {
    /// `connectionId:serial:index`, formatted from the numbers.
    Numbers,
    /// The text in `RareFields`, which is not canonical. The numbers are valid.
    TextWithNumbers,
    /// The text in `RareFields`, or no id. The numbers are not valid (RTP2b1).
    #[default]
    Text,
}

#[derive(Clone, Debug)]
/// Fields that few members have.
struct RareFields {
    id: Option<SmolStr>,
    encoding: Option<SmolStr>,
    extras: Option<Box<Value>>,
}

impl Record {
    /// A record of the member in a message, confirmed by sync number `sync`.
    pub(super) fn new(incoming: &Incoming<'_>, sync: u32) -> Self {
        let Parts { serial, index, id_form, rare } = Parts::new(incoming, incoming.sequence());
        Self {
            client_id: incoming.client_id.clone(),
            connection_id: incoming.connection_id.clone(),
            data: incoming.message.data.clone(),
            serial,
            index,
            id_form,
            absent: false,
            leave_pending: false,
            last_sync: sync,
            timestamp: incoming.timestamp(),
            rare,
            links: Links::default(),
        }
    }

    /// Replaces everything but the key. `sequence` is that of the message.
    #[inline(always)]
    pub(super) fn replace(&mut self, incoming: &Incoming<'_>, sequence: Option<Sequence>) {
        let Parts { serial, index, id_form, rare } = Parts::new(incoming, sequence);
        match &incoming.message.data {
            // The common case, faster than `clone_from` of the enum.
            Some(Data::String(text)) => self.data = Some(Data::String(text.clone())),
            data => self.data.clone_from(data),
        }
        self.timestamp = incoming.timestamp();
        (self.serial, self.index, self.id_form, self.rare) = (serial, index, id_form, rare);
    }

    #[inline]
    pub(super) fn version(&self) -> Version {
        let sequence = match self.id_form {
            IdForm::Numbers | IdForm::TextWithNumbers => Some((self.serial, self.index.into())),
            // An index beyond 32 bits is stored as text, and parsed for each comparison.
            IdForm::Text => self
                .text_id()
                .and_then(|id| newness::sequence(id, &self.connection_id))
                .map(|s| (s.serial, s.index)),
        };
        Version { sequence, timestamp: self.timestamp }
    }

    fn text_id(&self) -> Option<&SmolStr> {
        self.rare.as_ref().and_then(|rare| rare.id.as_ref())
    }

    fn id(&self) -> Option<SmolStr> {
        match self.id_form {
            IdForm::Numbers => {
                let mut id = SmolStrBuilder::new();
                id.push_str(&self.connection_id);
                id.push(':');
                id.push_str(itoa::Buffer::new().format(self.serial));
                id.push(':');
                id.push_str(itoa::Buffer::new().format(self.index));
                Some(id.finish())
            }
            IdForm::TextWithNumbers | IdForm::Text => self.text_id().cloned(),
        }
    }

    /// Whether the stored id equals `id`. Does not allocate.
    pub(super) fn has_id(&self, id: &str) -> bool {
        match self.id_form {
            IdForm::Numbers => newness::sequence(id, &self.connection_id).is_some_and(|s| {
                s.canonical && s.serial == self.serial && s.index == i64::from(self.index)
            }),
            IdForm::TextWithNumbers | IdForm::Text => self.text_id().is_some_and(|own| own == id),
        }
    }

    /// A LEAVE with the member's last data, without an id.
    pub(super) fn into_leave(self) -> PresenceMessage {
        let rare = self.rare.as_ref();
        PresenceMessage {
            client_id: Some(self.client_id),
            connection_id: Some(self.connection_id),
            data: self.data,
            encoding: rare.and_then(|rare| rare.encoding.clone()),
            timestamp: Some(self.timestamp),
            extras: rare.and_then(|rare| rare.extras.clone()),
            ..PresenceMessage::new(PresenceAction::Leave)
        }
    }

    pub(super) fn to_message(&self, action: PresenceAction) -> PresenceMessage {
        PresenceMessage {
            id: self.id(),
            client_id: Some(self.client_id.clone()),
            connection_id: Some(self.connection_id.clone()),
            data: self.data.clone(),
            encoding: self.rare.as_ref().and_then(|rare| rare.encoding.clone()),
            timestamp: Some(self.timestamp),
            extras: self.rare.as_ref().and_then(|rare| rare.extras.clone()),
            ..PresenceMessage::new(action)
        }
    }
}

/// The stored form of an id and the rare fields.
struct Parts {
    serial: i64,
    index: u32,
    id_form: IdForm,
    rare: Option<Arc<RareFields>>,
}

impl Parts {
    #[inline(always)]
    fn new(incoming: &Incoming<'_>, sequence: Option<Sequence>) -> Self {
        let numbers = sequence.and_then(|s| u32::try_from(s.index).ok().map(|index| (s, index)));
        let (serial, index, id_form) = match numbers {
            Some((s, index)) if s.canonical => (s.serial, index, IdForm::Numbers),
            Some((s, index)) => (s.serial, index, IdForm::TextWithNumbers),
            None => (0, 0, IdForm::Text),
        };
        let PresenceMessage { encoding, extras, .. } = incoming.message;
        let id = if id_form == IdForm::Numbers { None } else { incoming.id() };
        let rare = (id.is_some() || encoding.is_some() || extras.is_some()).then(|| {
            Arc::new(RareFields { id, encoding: encoding.clone(), extras: extras.clone() })
        });
        Self { serial, index, id_form, rare }
    }
}

/// A member of a set.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub(super) record: &'a Record,
}

impl<'a> Member<'a> {
    /// The client id (TP3c).
    #[must_use]
    pub fn client_id(&self) -> &'a SmolStr {
        &self.record.client_id
    }

    /// The connection id (TP3d).
    #[must_use]
    pub fn connection_id(&self) -> &'a SmolStr {
        &self.record.connection_id
    }

    /// The id of the member's last message (TP3a). An id `connectionId:msgSerial:index` is stored
    /// as numbers and formatted here.
    #[must_use]
    pub fn id(&self) -> Option<SmolStr> {
        self.record.id()
    }

    /// Whether [`id`](Self::id) equals `id`. Does not allocate.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.record.has_id(id)
    }

    /// The data (TP3e).
    #[must_use]
    pub fn data(&self) -> Option<&'a Data> {
        self.record.data.as_ref()
    }

    /// The remaining encodings of the data (TP3f).
    #[must_use]
    pub fn encoding(&self) -> Option<&'a SmolStr> {
        self.record.rare.as_ref().and_then(|rare| rare.encoding.as_ref())
    }

    /// The timestamp of the member's last message (TP3g).
    #[must_use]
    pub fn timestamp(&self) -> UnixMillis {
        self.record.timestamp
    }

    /// Extras, passed through unchanged (TP3i).
    #[must_use]
    pub fn extras(&self) -> Option<&'a Value> {
        self.record.rare.as_ref().and_then(|rare| rare.extras.as_deref())
    }

    /// The version, for comparisons of newness (RTP2b).
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version()
    }

    /// Whether the member is only a mark: it left during the running sync (RTP2h2a). Iteration over
    /// a set skips marks.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.record.absent
    }

    /// A presence message with this action and the member's fields.
    #[must_use]
    pub fn to_message(&self, action: PresenceAction) -> PresenceMessage {
        self.record.to_message(action)
    }

    /// A copy of the member. Cheap: it does not allocate, and does not format the id.
    #[must_use]
    pub fn snapshot(&self) -> MemberSnapshot {
        let mut snapshot = MemberSnapshot { record: self.record.clone() };
        snapshot.record.links = Links::default();
        snapshot
    }
}

/// A copy of a member, made by [`Member::snapshot`].
#[derive(Clone, Debug)]
pub struct MemberSnapshot {
    record: Record,
}

impl MemberSnapshot {
    /// Read access to the copy.
    #[must_use]
    pub const fn member(&self) -> Member<'_> {
        Member { record: &self.record }
    }
}

/// A member as an item of a SYNC.
impl Item for Member<'_> {
    #[inline(always)]
    fn action(&self) -> PresenceAction {
        PresenceAction::Present
    }
    #[inline(always)]
    fn id(&self) -> Id<'_> {
        match self.record.id_form {
            IdForm::Numbers => Id::Numbers(self.record.serial, self.record.index),
            IdForm::TextWithNumbers | IdForm::Text => {
                Id::Text(self.record.text_id().map_or("", SmolStr::as_str))
            }
        }
    }
    #[inline(always)]
    fn client_id(&self) -> &str {
        &self.record.client_id
    }
    #[inline(always)]
    fn connection_id(&self) -> &str {
        &self.record.connection_id
    }
    #[inline(always)]
    fn timestamp(&self) -> Option<UnixMillis> {
        Some(self.record.timestamp)
    }
    #[inline(always)]
    fn data(&self) -> Option<&Data> {
        self.record.data.as_ref()
    }
    #[inline(always)]
    fn encoding(&self) -> &str {
        Member::encoding(self).map_or("", SmolStr::as_str)
    }
    #[inline(always)]
    fn extras(&self) -> Option<&Value> {
        Member::extras(self)
    }
}
