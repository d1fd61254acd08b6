//! One member, as it is stored and as it is shown.

use super::Slot;
use super::incoming::Incoming;
use super::newness::{self, Sequence, Version};
use crate::ring::{Linked, Links};
use crate::slab::Cell;
use crate::wire::{Data, Id, Item, PresenceAction, PresenceMessage, Value};
use crate::{SmolStr, UnixMillis};
use alloc::{boxed::Box, sync::Arc};
use smol_str::SmolStrBuilder;

/// What is stored of a member. Laid out for size: no key is stored twice, an id of the usual form
/// is two numbers, and what few members have stands in a box of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) client_id: SmolStr,
    pub(super) connection_id: SmolStr,
    pub(super) data: Option<Data>,
    serial: i64,
    index: u32,
    id_form: IdForm,
    /// Stored as ABSENT while a sync is under way (RTP2h2a).
    pub(super) absent: bool,
    /// Of an ABSENT member: whether subscribers still believe it present.
    pub(super) owes_leave: bool,
    /// The last sync in which the member was heard of (RTP19).
    pub(super) seen: u32,
    pub(super) timestamp: UnixMillis,
    more: Option<Arc<More>>,
    /// Neighbours among the members of the same client id.
    pub(super) links: Links<Slot>,
}

/// An empty cell holds an empty record.
impl Cell for Record {
    type Value = Self;

    fn of(record: Self) -> Self {
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
    /// `connectionId:serial:index`, written from the numbers.
    Numbers,
    /// As in `More`, and the numbers are valid all the same.
    TextWithNumbers,
    /// As in `More`, if there is one at all; no numbers (RTP2b1).
    #[default]
    Text,
}

#[derive(Clone, Debug)]
struct More {
    id: Option<SmolStr>,
    encoding: Option<SmolStr>,
    extras: Option<Box<Value>>,
}

impl Record {
    /// A record of what the message says.
    pub(super) fn new(incoming: &Incoming<'_>, sync: u32) -> Self {
        let Stored { serial, index, id_form, more } = Stored::of(incoming, incoming.sequence());
        Self {
            client_id: incoming.client_id.clone(),
            connection_id: incoming.connection_id.clone(),
            data: incoming.message.data.clone(),
            serial,
            index,
            id_form,
            absent: false,
            owes_leave: false,
            seen: sync,
            timestamp: incoming.timestamp(),
            more,
            links: Links::default(),
        }
    }

    /// Takes over everything but the key, which is the same.
    /// The caller has taken the message's id apart.
    #[inline(always)]
    pub(super) fn replace(&mut self, incoming: &Incoming<'_>, sequence: Option<Sequence>) {
        let Stored { serial, index, id_form, more } = Stored::of(incoming, sequence);
        match &incoming.message.data {
            // As a whole, and not in the pieces of an enum: it is what most members have.
            Some(Data::String(text)) => self.data = Some(Data::String(text.clone())),
            data => self.data.clone_from(data),
        }
        self.timestamp = incoming.timestamp();
        (self.serial, self.index, self.id_form, self.more) = (serial, index, id_form, more);
    }

    #[inline]
    pub(super) fn version(&self) -> Version {
        let sequence = match self.id_form {
            IdForm::Numbers | IdForm::TextWithNumbers => Some((self.serial, self.index.into())),
            // An index beyond 32 bits is kept as text, and parsed again for the rare comparison.
            IdForm::Text => self
                .text_id()
                .and_then(|id| newness::sequence(id, &self.connection_id))
                .map(|s| (s.serial, s.index)),
        };
        Version { sequence, timestamp: self.timestamp }
    }

    fn text_id(&self) -> Option<&SmolStr> {
        self.more.as_ref().and_then(|more| more.id.as_ref())
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

    /// Whether the stored id is this one, without writing it out.
    pub(super) fn has_id(&self, id: &str) -> bool {
        match self.id_form {
            IdForm::Numbers => newness::sequence(id, &self.connection_id).is_some_and(|s| {
                s.canonical && s.serial == self.serial && s.index == i64::from(self.index)
            }),
            IdForm::TextWithNumbers | IdForm::Text => self.text_id().is_some_and(|own| own == id),
        }
    }

    /// A LEAVE without an id that says what the member said.
    pub(super) fn into_leave(self) -> PresenceMessage {
        let more = self.more.as_ref();
        PresenceMessage {
            client_id: Some(self.client_id),
            connection_id: Some(self.connection_id),
            data: self.data,
            encoding: more.and_then(|more| more.encoding.clone()),
            timestamp: Some(self.timestamp),
            extras: more.and_then(|more| more.extras.clone()),
            ..PresenceMessage::new(PresenceAction::Leave)
        }
    }

    pub(super) fn to_message(&self, action: PresenceAction) -> PresenceMessage {
        PresenceMessage {
            id: self.id(),
            client_id: Some(self.client_id.clone()),
            connection_id: Some(self.connection_id.clone()),
            data: self.data.clone(),
            encoding: self.more.as_ref().and_then(|more| more.encoding.clone()),
            timestamp: Some(self.timestamp),
            extras: self.more.as_ref().and_then(|more| more.extras.clone()),
            ..PresenceMessage::new(action)
        }
    }
}

/// An id, and what few members have, in the form in which a record stores them.
struct Stored {
    serial: i64,
    index: u32,
    id_form: IdForm,
    more: Option<Arc<More>>,
}

impl Stored {
    #[inline(always)]
    fn of(incoming: &Incoming<'_>, sequence: Option<Sequence>) -> Self {
        let numbers = sequence.and_then(|s| u32::try_from(s.index).ok().map(|index| (s, index)));
        let (serial, index, id_form) = match numbers {
            Some((s, index)) if s.canonical => (s.serial, index, IdForm::Numbers),
            Some((s, index)) => (s.serial, index, IdForm::TextWithNumbers),
            None => (0, 0, IdForm::Text),
        };
        let PresenceMessage { encoding, extras, .. } = incoming.message;
        let id = if id_form == IdForm::Numbers { None } else { incoming.id() };
        let more = (id.is_some() || encoding.is_some() || extras.is_some())
            .then(|| Arc::new(More { id, encoding: encoding.clone(), extras: extras.clone() }));
        Self { serial, index, id_form, more }
    }
}

/// A member of a set, borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub(super) record: &'a Record,
}

impl<'a> Member<'a> {
    /// Who (TP3c).
    #[must_use]
    pub fn client_id(&self) -> &'a SmolStr {
        &self.record.client_id
    }

    /// On which connection (TP3d).
    #[must_use]
    pub fn connection_id(&self) -> &'a SmolStr {
        &self.record.connection_id
    }

    /// The id of the message that the member's state comes from (TP3a). Ids of the usual form
    /// are stored as numbers and written out here.
    #[must_use]
    pub fn id(&self) -> Option<SmolStr> {
        self.record.id()
    }

    /// Whether [`id`](Self::id) is this one; does not allocate.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        self.record.has_id(id)
    }

    /// What the member says of itself (TP3e).
    #[must_use]
    pub fn data(&self) -> Option<&'a Data> {
        self.record.data.as_ref()
    }

    /// The encodings that the data is still in (TP3f).
    #[must_use]
    pub fn encoding(&self) -> Option<&'a SmolStr> {
        self.record.more.as_ref().and_then(|more| more.encoding.as_ref())
    }

    /// When the member's state was set (TP3g).
    #[must_use]
    pub fn timestamp(&self) -> UnixMillis {
        self.record.timestamp
    }

    /// The object that passes through (TP3i).
    #[must_use]
    pub fn extras(&self) -> Option<&'a Value> {
        self.record.more.as_ref().and_then(|more| more.extras.as_deref())
    }

    /// What its newness is judged by.
    #[must_use]
    pub fn version(&self) -> Version {
        self.record.version()
    }

    /// Whether it is a mark of a member that left while a sync is under way (RTP2h2a). Iteration
    /// over a set passes such marks over.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.record.absent
    }

    /// A presence message with this action that says what the member says.
    #[must_use]
    pub fn to_message(&self, action: PresenceAction) -> PresenceMessage {
        self.record.to_message(action)
    }

    /// The member as it is now, to keep. Nothing is written out and nothing is allocated, so that
    /// this is the way to copy many.
    #[must_use]
    pub fn snapshot(&self) -> MemberSnapshot {
        let mut snapshot = MemberSnapshot { record: self.record.clone() };
        snapshot.record.links = Links::default();
        snapshot
    }
}

/// A member as it was: what [`Member::snapshot`] makes. It is read as a [`Member`] is.
#[derive(Clone, Debug)]
pub struct MemberSnapshot {
    record: Record,
}

impl MemberSnapshot {
    /// The member, to be read.
    #[must_use]
    pub const fn member(&self) -> Member<'_> {
        Member { record: &self.record }
    }
}

/// A member as it is told in a sync.
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
