//! Frames from JSON, and frames and their parts as text.

use core::fmt::Write as _;
use presence_proto::wire::{Action, Format, PresenceAction, PresenceMessage, ProtocolMessage};
use serde_json::Value as Json;

pub(crate) fn decode(frame: &Json) -> ProtocolMessage {
    let bytes = serde_json::to_vec(frame).expect("JSON");
    ProtocolMessage::decode(Format::Json, &bytes).expect("a frame")
}

/// The name of a frame and its fields as JSON.
pub(crate) fn frame_line(frame: &ProtocolMessage) -> String {
    let bytes = frame.encode(Format::Json);
    let mut fields: Json = serde_json::from_slice(&bytes).expect("JSON");
    fields.as_object_mut().expect("an object").remove("action");
    let name = match frame.action {
        Action::Unknown(number) => format!("ACTION {number}"),
        action => format!("{action:?}").to_uppercase(),
    };
    if fields.as_object().is_some_and(serde_json::Map::is_empty) {
        name
    } else {
        format!("{name} {fields}")
    }
}

pub(crate) fn presence_line(message: &PresenceMessage) -> String {
    let mut line = format!("{} {}", action(message.action), member(message));
    if let Some(id) = &message.id {
        let _ = write!(line, " {id}");
    }
    if let Some(data) = &message.data {
        let _ = write!(line, " {data:?}");
    }
    line
}

pub(crate) fn member(message: &PresenceMessage) -> String {
    format!(
        "{}@{}",
        message.client_id.as_deref().unwrap_or("?"),
        message.connection_id.as_deref().unwrap_or("?")
    )
}

pub(crate) fn action(action: PresenceAction) -> String {
    format!("{action:?}").to_lowercase()
}
