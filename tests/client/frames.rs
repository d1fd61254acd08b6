//! Frames that a server sends.

use crate::driven::CH;
use crate::text::decode;
use presence_proto::UnixMillis;
use presence_proto::wire::{
    Action, ConnectionDetails, ErrorInfo, Flags, PresenceAction, PresenceMessage, ProtocolMessage,
};
use serde_json::Value as Json;

/// A frame, or the JSON of one.
pub(crate) trait Frame {
    fn frame(self) -> ProtocolMessage;
}

impl Frame for ProtocolMessage {
    fn frame(self) -> ProtocolMessage {
        self
    }
}

impl Frame for Json {
    fn frame(self) -> ProtocolMessage {
        decode(&self)
    }
}

/// CONNECTED, without a limit of idleness.
pub(crate) fn connected(id: &str, key: &str) -> ProtocolMessage {
    let mut details = ConnectionDetails::default();
    details.connection_key = Some(key.into());
    connected_with(id, details)
}

pub(crate) fn connected_with(id: &str, details: ConnectionDetails) -> ProtocolMessage {
    let mut frame = ProtocolMessage::new(Action::Connected);
    frame.connection_id = Some(id.into());
    frame.connection_details = Some(Box::new(details));
    frame
}

/// CONNECTED of a client that may act for any client id.
pub(crate) fn connected_as_anyone(id: &str) -> ProtocolMessage {
    let mut details = ConnectionDetails::default();
    details.connection_key = Some("key-1".into());
    details.client_id = Some("*".into());
    connected_with(id, details)
}

pub(crate) fn attached(channel: &str, flags: Flags) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Attached, channel);
    frame.flags = Some(flags);
    frame
}

pub(crate) fn detached(channel: &str, error: Option<ErrorInfo>) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Detached, channel);
    frame.error = error.map(Box::new);
    frame
}

/// ERROR of a channel.
pub(crate) fn channel_error(channel: &str, error: ErrorInfo) -> ProtocolMessage {
    ProtocolMessage::on_channel(Action::Error, channel).with_error(error)
}

pub(crate) fn disconnected(error: ErrorInfo) -> ProtocolMessage {
    ProtocolMessage::new(Action::Disconnected).with_error(error)
}

/// A page of a sync.
pub(crate) fn sync(serial: &str, items: Vec<PresenceMessage>) -> ProtocolMessage {
    let mut frame = ProtocolMessage::on_channel(Action::Sync, CH);
    frame.channel_serial = Some(serial.into());
    frame.presence = items.into();
    frame
}

/// PRESENCE with one item.
pub(crate) fn event(item: PresenceMessage) -> ProtocolMessage {
    ProtocolMessage::presence(CH, vec![item])
}

/// An item with an id of the usual form, from which its connection id follows.
pub(crate) fn item(
    action: PresenceAction,
    client_id: &str,
    id: &str,
    timestamp: i64,
) -> PresenceMessage {
    let connection = id.rsplitn(3, ':').nth(2).expect("connection:serial:index");
    made_up(action, client_id, connection, id, timestamp)
}

/// An item with an id of any form.
pub(crate) fn made_up(
    action: PresenceAction,
    client_id: &str,
    connection_id: &str,
    id: &str,
    timestamp: i64,
) -> PresenceMessage {
    let mut item = PresenceMessage::new(action).with_client_id(client_id);
    item.connection_id = Some(connection_id.into());
    item.id = Some(id.into());
    item.timestamp = Some(UnixMillis::from_millis(timestamp));
    item
}

pub(crate) fn present(client_id: &str, id: &str) -> PresenceMessage {
    item(PresenceAction::Present, client_id, id, 100)
}

pub(crate) fn text(item: &PresenceMessage) -> Option<&str> {
    item.data.as_ref()?.as_str()
}

pub(crate) fn names(items: &[PresenceMessage]) -> Vec<&str> {
    items.iter().filter_map(|item| item.client_id.as_deref()).collect()
}

pub(crate) fn actions(items: &[PresenceMessage]) -> Vec<PresenceAction> {
    items.iter().map(|item| item.action).collect()
}

pub(crate) fn actions_of(frames: &[ProtocolMessage]) -> Vec<Action> {
    frames.iter().map(|frame| frame.action).collect()
}

pub(crate) fn refused() -> ErrorInfo {
    ErrorInfo::new(40160, 401, "not permitted")
}

pub(crate) fn token_error() -> ErrorInfo {
    ErrorInfo::new(40142, 401, "token expired")
}
