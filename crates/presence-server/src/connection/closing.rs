//! Close frames of WebSockets, and their reasons (RFC 6455, section 7.4).

use axum::extract::ws::{CloseFrame, close_code};
use presence_proto::wire::codes;
use presence_proto::wire::{Action, ErrorInfo, ProtocolMessage};
use tungstenite::error::{Error, ProtocolError};

/// Bytes of a reason: a control frame has 125, and the code takes two.
const MAX_REASON: usize = 123;

fn frame(code: u16, reason: &str) -> CloseFrame {
    let end = reason.floor_char_boundary(MAX_REASON);
    CloseFrame { code, reason: reason[..end].into() }
}

/// A normal end.
pub(crate) fn normal() -> CloseFrame {
    frame(close_code::NORMAL, "")
}

/// The peer reads too slowly.
pub(crate) fn too_slow() -> CloseFrame {
    frame(close_code::POLICY, "The connection reads too slowly")
}

/// The core has ended, and its connections with it.
pub(crate) fn core_ended() -> CloseFrame {
    frame(close_code::ERROR, "The server has failed")
}

/// The close frame that follows a frame that ends its connection.
pub(crate) fn after(frame: &ProtocolMessage) -> Option<CloseFrame> {
    match frame.action {
        Action::Closed => Some(normal()),
        Action::Disconnected => Some(frame.error.as_deref().map_or_else(normal, because)),
        Action::Error if frame.channel.is_none() => frame.error.as_deref().map(because),
        _ => None,
    }
}

/// The close frame for an error of the protocol.
pub(crate) fn because(error: &ErrorInfo) -> CloseFrame {
    let code = match (error.code, error.status_code) {
        (codes::MAX_MESSAGE_SIZE_EXCEEDED, _) => close_code::SIZE,
        (_, 503) => close_code::AWAY,
        (_, 500..) => close_code::ERROR,
        _ => close_code::POLICY,
    };
    frame(code, &error.message)
}

/// How the peer violated the WebSocket protocol. None if it did not: it is gone.
pub(crate) fn violation(error: &axum::Error) -> Option<CloseFrame> {
    let error = std::error::Error::source(error)?.downcast_ref::<Error>()?;
    let (code, reason) = match error {
        Error::Capacity(_) => (close_code::SIZE, "The message is too long"),
        Error::Utf8(_) => (close_code::INVALID, "The text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        Error::Protocol(_) => (close_code::PROTOCOL, "The WebSocket protocol is violated"),
        _ => return None,
    };
    Some(frame(code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_code() {
        let with = |action, code, status| {
            let mut frame = ProtocolMessage::error(ErrorInfo::new(code, status, "why"));
            frame.action = action;
            after(&frame).map(|frame| frame.code)
        };
        for (action, code, status, expected) in [
            (Action::Disconnected, 50003, 503, Some(1001)),
            (Action::Disconnected, 80003, 408, Some(1008)),
            (Action::Error, 40101, 401, Some(1008)),
            (Action::Error, 40009, 400, Some(1009)),
            (Action::Error, 50000, 500, Some(1011)),
            (Action::Closed, 0, 0, Some(1000)),
            (Action::Attached, 0, 0, None),
        ] {
            assert_eq!(with(action, code, status), expected, "{action:?} {code}");
        }
        assert_eq!(
            after(&ProtocolMessage::new(Action::Disconnected)).map(|frame| frame.code),
            Some(1000)
        );
        let mut of_a_channel = ProtocolMessage::error(ErrorInfo::new(40160, 401, "why"));
        of_a_channel.channel = Some("c".into());
        assert_eq!(after(&of_a_channel), None);
    }

    #[test]
    fn a_reason_fits_a_control_frame() {
        let long = because(&ErrorInfo::new(40000, 400, "é".repeat(100)));
        assert_eq!(&*long.reason, "é".repeat(61));
    }
}
