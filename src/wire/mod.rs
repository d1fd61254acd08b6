//! What travels: protocol messages, presence messages, data and errors, and their two codecs.

mod action;
mod data;
mod details;
mod error_info;
mod flags;
mod format;
mod message;
mod presence;
mod text;
mod value;

pub use action::{Action, PresenceAction};
pub use data::Data;
pub use details::{AuthDetails, ConnectionDetails};
pub use error_info::ErrorInfo;
pub use flags::{Flags, Modes};
pub use format::Format;
pub use message::{Message, Params, ProtocolMessage};
pub use presence::PresenceMessage;
pub use value::{Map, Value};
