//! The types of the wire, field by field, as far as clauses of the client name them.

use presence_proto::wire::{
    Action, ConnectionDetails, ErrorInfo, Flags, Format, Modes, PresenceMessage, ProtocolMessage,
    Value,
};
use serde_json::{Value as Json, json};

fn decode(frame: &Json) -> ProtocolMessage {
    let bytes = serde_json::to_vec(frame).expect("JSON");
    let json = ProtocolMessage::decode(Format::Json, &bytes).expect("a frame");
    // The same in MessagePack.
    let packed = json.encode(Format::MessagePack);
    assert_eq!(ProtocolMessage::decode(Format::MessagePack, &packed).as_ref(), Ok(&json));
    json
}

fn encode(frame: &ProtocolMessage) -> Json {
    serde_json::from_slice(&frame.encode(Format::Json)).expect("JSON")
}

/// Clauses: TR1, TR4, TR4a, TR4b, TR4c, TR4d, TR4g, TR4h, TR4i, TR4j, TR4k, TR4l, TR4m, TR4n, TR4o,
/// TR4p, TR4q, TR4r, TR4s, RTL6i3.
#[test]
fn tr4_every_field_of_a_frame() {
    let text = json!({
        "action": 14, "id": "c1:7", "auth": {"accessToken": "t"}, "channel": "ch",
        "channelSerial": "s1", "connectionId": "c1", "connectionDetails": {"clientId": "me"},
        "count": 2, "error": {"code": 40000, "statusCode": 400, "message": "m"}, "flags": 5,
        "msgSerial": 9, "messages": [{"name": "n", "data": "d"}],
        "presence": [{"action": 2, "clientId": "a"}], "timestamp": 1234,
        "params": {"k": "v"}, "state": [{"o": 1}], "res": [{"serials": ["x", null]}],
    });
    let frame = decode(&text);
    assert_eq!(frame.action, Action::Presence);
    assert_eq!(frame.id.as_deref(), Some("c1:7"));
    let auth = frame.auth.as_ref().and_then(|auth| auth.access_token.as_deref());
    assert_eq!(auth, Some("t"));
    assert_eq!(frame.channel.as_deref(), Some("ch"));
    assert_eq!(frame.channel_serial.as_deref(), Some("s1"));
    assert_eq!(frame.connection_id.as_deref(), Some("c1"));
    let details = frame.connection_details.as_ref().and_then(|d| d.client_id.as_deref());
    assert_eq!(details, Some("me"));
    assert_eq!((frame.count, frame.msg_serial), (Some(2), Some(9)));
    assert_eq!(frame.error.as_ref().map(|error| error.code), Some(40000));
    assert_eq!(frame.flags(), Flags::HAS_PRESENCE | Flags::RESUMED);
    assert_eq!((frame.messages.len(), frame.presence.len()), (1, 1));
    assert_eq!(frame.timestamp.map(|t| t.as_millis()), Some(1234));
    assert_eq!(frame.params, Some(vec![("k".into(), "v".into())]));
    let shown = |value: &Option<Box<Value>>| value.as_ref().map(|value| value.to_json());
    assert_eq!(shown(&frame.state).as_deref(), Some("[{\"o\":1}]"));
    assert_eq!(shown(&frame.res).as_deref(), Some("[{\"serials\":[\"x\",null]}]"));
    assert_eq!(encode(&frame), text, "and nothing that is absent is written");
}

/// Clauses: TR3, TR3a, TR3b, TR3c, TR3e, TR3f, TR3h, TR3q, TR3r, TR3s, TR3t, TR3u, TR3v, TR3w, TR3x, TR3ν,
/// TR3y, TR3z.
#[test]
fn tr3_the_bits_of_the_flags() {
    for (flag, bit) in [
        (Flags::HAS_PRESENCE, 0),
        (Flags::HAS_BACKLOG, 1),
        (Flags::RESUMED, 2),
        (Flags::TRANSIENT, 4),
        (Flags::ATTACH_RESUME, 5),
        (Flags::HAS_OBJECTS, 7),
    ] {
        assert_eq!(flag.bits(), 1 << bit);
        assert!(flag.modes().is_empty());
    }
    for (mode, bit) in [
        (Modes::PRESENCE, 16),
        (Modes::PUBLISH, 17),
        (Modes::SUBSCRIBE, 18),
        (Modes::PRESENCE_SUBSCRIBE, 19),
        (Modes::ANNOTATION_PUBLISH, 21),
        (Modes::ANNOTATION_SUBSCRIBE, 22),
        (Modes::OBJECT_SUBSCRIBE, 24),
        (Modes::OBJECT_PUBLISH, 25),
    ] {
        assert_eq!(mode.bits(), 1 << bit);
        assert_eq!(Flags::from(mode).modes(), mode);
    }
    // Reserved bits survive.
    for bit in [20, 23, 40] {
        assert_eq!(decode(&json!({"action": 11, "flags": 1u64 << bit})).flags().bits(), 1 << bit);
    }
}

/// Clauses: TI1, TI2, TI3, TI4, TI6.
#[test]
fn ti1_every_field_of_an_error() {
    let text = json!({
        "code": 91004, "statusCode": 400, "message": "m", "href": "https://example.com",
        "requestId": "r", "detail": {"k": "v"},
        "cause": {"code": 40160, "statusCode": 401, "message": "c"},
    });
    let frame = decode(&json!({"action": 9, "error": text}));
    let error = frame.error.as_deref().expect("an error");
    assert_eq!((error.code, error.status_code, error.message.as_str()), (91004, 400, "m"));
    assert_eq!(error.href.as_deref(), Some("https://example.com"));
    assert_eq!(error.request_id.as_deref(), Some("r"));
    assert_eq!(error.detail, [("k".into(), "v".into())]);
    assert_eq!(error.cause.as_deref(), Some(&ErrorInfo::new(40160, 401, "c")));
    assert_eq!(encode(&frame)["error"], text);
    let plain = encode(&decode(&json!({"action": 9, "error": {"code": 1, "detail": {}}})));
    assert!(plain["error"].get("detail").is_none());
}

/// Clauses: CD2, CD2a, CD2b, CD2c, CD2d, CD2e, CD2f, CD2g, CD2h, CD2j.
#[test]
fn cd2_every_field_of_the_connection_details() {
    let text = json!({
        "clientId": "me", "connectionKey": "k", "maxMessageSize": 1, "maxFrameSize": 2,
        "maxInboundRate": 3, "connectionStateTtl": 4, "maxIdleInterval": 5, "serverId": "s",
        "siteCode": "x", "objectsGCGracePeriod": 6,
    });
    let frame = decode(&json!({"action": 4, "connectionDetails": text}));
    let details: &ConnectionDetails = frame.connection_details.as_deref().expect("details");
    assert_eq!(details.client_id.as_deref(), Some("me"));
    assert_eq!(details.connection_key.as_deref(), Some("k"));
    assert_eq!((details.max_message_size, details.max_frame_size), (Some(1), Some(2)));
    assert_eq!((details.max_inbound_rate, details.connection_state_ttl), (Some(3), Some(4)));
    assert_eq!(details.max_idle_interval, Some(5));
    assert_eq!(details.server_id.as_deref(), Some("s"));
    assert_eq!(details.site_code.as_deref(), Some("x"));
    assert_eq!(encode(&frame)["connectionDetails"], text);
}

/// Clauses: TP2, TP3, TP3a, TP3b, TP3c, TP3d, TP3e, TP3f, TP3g, TP3i.
#[test]
fn tp3_every_field_of_a_presence_message() {
    let text = json!({
        "action": 4, "id": "c1:0:0", "clientId": "me", "connectionId": "c1", "data": "d",
        "encoding": "foo", "timestamp": 7, "extras": {"k": {"n": [1, 2.5, null]}},
    });
    let frame = decode(&json!({"action": 14, "presence": [text]}));
    let message: &PresenceMessage = &frame.presence[0];
    assert_eq!(message.action.number(), 4);
    assert_eq!(message.client_id.as_deref(), Some("me"));
    assert_eq!(message.encoding.as_deref(), Some("foo"));
    assert_eq!(message.timestamp.map(|t| t.as_millis()), Some(7));
    assert_eq!(encode(&frame)["presence"][0], text);
}
