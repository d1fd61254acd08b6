//! Outgoing frames.

use crate::members::MemberPage;
use crate::wire::{Format, PresenceAction, ProtocolMessage};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

/// An outgoing frame, for any number of recipients. It is encoded at most once per format, when the
/// bytes are first requested.
///
/// ```
/// use presence_proto::server::Frame;
/// use presence_proto::wire::{Format, ProtocolMessage};
///
/// let mut frame = Frame::from(ProtocolMessage::ack(3, 1));
/// for format in [Format::Json, Format::MessagePack, Format::Json] {
///     let bytes = frame.encode(format);
///     // … into the queue of a recipient.
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Frame {
    /// All fields, except the members of a sync page.
    head: ProtocolMessage,
    page: Option<Box<Page>>,
    encoded: Option<Box<Encoded>>,
}

/// Members of a sync page, shared with the member set.
#[derive(Clone, Debug)]
struct Page {
    members: MemberPage,
    /// Estimated bytes of the encoded frame.
    size: usize,
}

#[derive(Clone, Debug, Default)]
struct Encoded {
    json: Option<Bytes>,
    message_pack: Option<Bytes>,
}

impl Frame {
    /// A sync page. `size`: its estimated bytes.
    pub(super) fn with_members(head: ProtocolMessage, members: MemberPage, size: usize) -> Self {
        Self { head, page: Some(Box::new(Page { members, size })), encoded: None }
    }

    /// The frame without the members of a sync page. [`Frame::to_message`] includes them.
    #[must_use]
    pub const fn head(&self) -> &ProtocolMessage {
        &self.head
    }

    /// The complete frame.
    #[must_use]
    pub fn to_message(&self) -> ProtocolMessage {
        self.clone().into_message()
    }

    /// The complete frame, without a clone of the head.
    #[must_use]
    pub fn into_message(self) -> ProtocolMessage {
        let mut message = self.head;
        if let Some(page) = self.page {
            let members = page.members.iter();
            message.presence =
                members.map(|member| member.to_message(PresenceAction::Present)).collect();
        }
        message
    }

    /// The encoded frame. It is encoded on the first call and cached; clones made afterwards share
    /// the bytes.
    pub fn encode(&mut self, format: Format) -> Bytes {
        let made = self.encoded.as_ref().and_then(|encoded| match format {
            Format::Json => encoded.json.clone(),
            Format::MessagePack => encoded.message_pack.clone(),
        });
        made.unwrap_or_else(|| {
            let mut bytes = Vec::new();
            self.encode_into(format, &mut bytes);
            let encoded = self.encoded.get_or_insert_default();
            let place = match format {
                Format::Json => &mut encoded.json,
                Format::MessagePack => &mut encoded.message_pack,
            };
            place.insert(bytes.into()).clone()
        })
    }

    /// Encodes the frame at the end of a buffer, without a copy in the cache. For a host that sends
    /// the frame to one recipient.
    pub fn encode_into(&self, format: Format, out: &mut Vec<u8>) {
        match &self.page {
            Some(page) => {
                out.reserve(page.size);
                self.head.encode_with(format, page.members.iter(), out);
            }
            None => self.head.encode_into(format, out),
        }
    }
}

impl From<ProtocolMessage> for Frame {
    fn from(message: ProtocolMessage) -> Self {
        Self { head: message, page: None, encoded: None }
    }
}

/// Equal if the complete frames are equal.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        match (&self.page, &other.page) {
            (None, None) => self.head == other.head,
            _ => self.to_message() == other.to_message(),
        }
    }
}
