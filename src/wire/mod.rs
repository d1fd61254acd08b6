//! What travels: protocol messages, presence messages, data and errors, and their two codecs.

mod action;
mod codec;
mod data;
mod details;
mod encoding;
mod error_info;
mod flags;
mod format;
#[cfg(feature = "json")]
mod json;
mod message;
#[cfg(feature = "msgpack")]
mod msgpack;
mod presence;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod read;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod short;
mod text;
mod value;
mod write;

pub use action::{Action, PresenceAction};
#[cfg(feature = "sim")]
pub(crate) use msgpack::decode_by_rmp;

pub use codec::{DecodeError, DecodeErrorKind, DecodeLimits, OncePerFormat};
pub use data::Data;
pub use details::{AuthDetails, ConnectionDetails};
pub use encoding::EncodingError;
pub use error_info::ErrorInfo;
pub use flags::{Flags, Modes};
pub use format::Format;
pub use message::{Message, Params, ProtocolMessage};
pub use presence::PresenceMessage;
pub use value::{Map, Value};
