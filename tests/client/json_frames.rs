//! The frames of a server as JSON, on the channel `ch`.

use serde_json::{Value as Json, json};

/// CONNECTED, with the key `<id>-key`.
pub(crate) fn connected(id: &str) -> Json {
    json!({
        "action": 4, "connectionId": id,
        "connectionDetails": {"connectionKey": format!("{id}-key"), "connectionStateTtl": 120_000},
    })
}

/// PRESENCE or SYNC with one item for each `client@connection:serial`, all with one action.
pub(crate) fn presence(frame: u8, action: u8, members: &[&str]) -> Json {
    let items: Vec<Json> = members.iter().map(|member| item(action, member)).collect();
    json!({"action": frame, "channel": "ch", "presence": items})
}

/// One presence message of `client@connection:serial`, with the serial as its time.
pub(crate) fn item(action: u8, member: &str) -> Json {
    let (client_id, rest) = member.split_once('@').expect("client@connection:serial");
    let (connection_id, serial) = rest.split_once(':').expect("client@connection:serial");
    json!({
        "action": action, "clientId": client_id, "connectionId": connection_id,
        "id": format!("{connection_id}:{serial}:0"),
        "timestamp": serial.parse::<i64>().expect("a number"),
    })
}

/// A page of a sync.
pub(crate) fn sync(serial: &str, members: &[&str]) -> Json {
    let mut frame = presence(16, 1, members);
    frame["channelSerial"] = serial.into();
    frame
}
