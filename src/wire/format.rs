//! The two encodings of a frame.

/// The encoding of frames on a transport, in both directions (RTN2a).
///
/// A server reads it from the connection parameter `format` (JSON if absent). A client sets
/// [`ClientOptions::format`](crate::client::ClientOptions::format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Format {
    /// JSON, in WebSocket text messages (UTF-8). Decoding requires the feature `json`.
    Json,
    /// MessagePack, in WebSocket binary messages. Decoding requires the feature `msgpack`.
    MessagePack,
}

impl Format {
    /// The value of the connection parameter `format` (RTN2a): `json` or `msgpack`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MessagePack => "msgpack",
        }
    }

    /// The format with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "msgpack" => Some(Self::MessagePack),
            _ => None,
        }
    }
}
