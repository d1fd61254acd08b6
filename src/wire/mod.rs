//! What travels: protocol messages, presence messages, data and errors, and their two codecs.
//!
//! A frame is the same in memory whichever [`Format`] it came in or goes out in, so that one frame
//! can be sent to peers of both.
//!
//! ```
//! # #[cfg(all(feature = "json", feature = "msgpack"))] {
//! use presence_proto::wire::{Action, Format, ProtocolMessage};
//!
//! let text = br#"{"action":14,"channel":"room","presence":[{"action":2,"data":"aGk=","encoding":"base64"}]}"#;
//! let frame = ProtocolMessage::decode(Format::Json, text)?;
//! assert_eq!(frame.action, Action::Presence);
//! assert_eq!(frame.presence[0].data.as_ref().unwrap().as_bytes(), Some(&b"hi"[..]));
//!
//! let bytes = frame.encode(Format::MessagePack);
//! assert_eq!(ProtocolMessage::decode(Format::MessagePack, &bytes)?, frame);
//!
//! let error = ProtocolMessage::decode(Format::Json, br#"{"action":14,"presence":[{"action":"enter"}]}"#).unwrap_err();
//! assert_eq!(error.path, "presence[0].action");
//! # }
//! # Ok::<(), presence_proto::wire::DecodeError>(())
//! ```
//!
//! Data travels in a chain of encodings. What is a matter of the format (`base64`) is done by the
//! codec; what is between applications (`json`, `utf-8`) at the edge to them:
//! [`PresenceMessage::encode_data`] and [`PresenceMessage::decode_data`]. A server never looks.

mod action;
mod codec;
pub mod codes;
mod data;
mod details;
mod encoding;
mod error_info;
mod flags;
mod format;
mod items;
#[cfg(feature = "json")]
mod json;
mod message;
#[cfg(feature = "msgpack")]
mod msgpack;
#[cfg(feature = "json")]
mod plain;
mod presence;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod read;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod short;
mod text;
mod value;
mod write;

pub(crate) use write::{Id, Item};

pub use action::{Action, PresenceAction};
pub use codec::{DecodeError, DecodeErrorKind, DecodeLimits};
pub use data::Data;
pub use details::{AuthDetails, ConnectionDetails};
pub use encoding::EncodingError;
pub use error_info::ErrorInfo;
pub use flags::{Flags, Modes};
pub use format::Format;
pub use items::{Items, ItemsIntoIter};
pub(crate) use message::{Inherited, inherited_id};
pub use message::{Message, Params, ProtocolMessage};
pub use presence::PresenceMessage;
pub use value::{Map, Value};
