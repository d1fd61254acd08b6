//! The two encodings of a frame.

/// How frames are encoded on a transport, in both directions (RTN2a).
///
/// A server takes it from the connection parameter `format`, and JSON if that is absent; a client
/// chooses it by [`ClientOptions::format`](crate::client::ClientOptions::format).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "the protocol has these two")]
pub enum Format {
    /// JSON, in text frames: what is encoded is UTF-8. Reading it needs the feature `json`.
    Json,
    /// MessagePack, in binary frames. Reading it needs the feature `msgpack`.
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

    /// The format of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "msgpack" => Some(Self::MessagePack),
            _ => None,
        }
    }
}
