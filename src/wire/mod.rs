//! The wire protocol: frames, presence messages, data and errors, with JSON and MessagePack codecs.
//!
//! A frame in memory does not depend on its [`Format`], so that one frame can be sent to peers of
//! both formats.
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
//! Data has a chain of encodings. The codec handles `base64`, which depends on the format. The
//! client handles `json` and `utf-8` ([`PresenceMessage::encode_data`],
//! [`PresenceMessage::decode_data`]). A server passes them through.

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
#[cfg(any(feature = "json", feature = "msgpack", feature = "server"))]
mod short;
mod text;
mod value;
mod write;

pub(crate) use codec::MAX_DEPTH;
#[cfg(feature = "server")]
pub(crate) use short::make as make_short;
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
