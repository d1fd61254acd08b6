//! Pages of syncs, as frames and as bytes: the same.

mod rig;

use presence_proto::server::{Output, ServerConfig};
use presence_proto::wire::{Action, Format, ProtocolMessage};
use rig::server::{CHANNEL, Rig, request};
use serde_json::json;

/// Members with what members can have: ids of the usual form, data of every kind, text that has to
/// be escaped, encodings that pass through, extras.
fn a_full_channel(members: usize) -> Rig {
    let mut config = ServerConfig::default();
    config.sync_page_members = 7;
    let mut rig = Rig::with(config);
    let many = rig.join("*");
    for n in 0..members {
        let client_id = format!("me {n} \"\u{e9}\"");
        let mut item = match n % 5 {
            0 => json!({"action": 2}),
            1 => json!({"action": 2, "data": "x".repeat(n * 7)}),
            2 => json!({"action": 2, "data": "AAECAw==", "encoding": "base64"}),
            3 => json!({"action": 2, "data": "{\"a\":\n1}", "encoding": "json"}),
            _ => json!({"action": 2, "data": "AAEC", "encoding": "utf-8/cipher+aes/base64"}),
        };
        item["clientId"] = json!(client_id);
        if n % 3 == 0 {
            item["extras"] = json!({"headers": {"n": n}, "list": [1, null, "two"]});
        }
        let serial = [n as i64, 1_000_000_007 * n as i64][n % 2].max(n as i64);
        let came = rig.presence(many, serial, item);
        assert_eq!(came.codes(many), [0; 0]);
    }
    rig
}

#[test]
fn rtp18_pages_as_bytes_are_those_of_the_frames() {
    for members in [0, 1, 6, 7, 8, 40] {
        let rig = a_full_channel(members);
        let mut other = rig.clone();
        let as_frames = other.open_for(request("you")).0;
        let came = other.attach(as_frames, CHANNEL);
        let frames: Vec<ProtocolMessage> =
            came.of(as_frames, Action::Sync).into_iter().cloned().collect();
        assert_eq!(frames.len(), members.div_ceil(7), "{members}");
        assert_eq!(frames.iter().map(|frame| frame.presence.len()).sum::<usize>(), members);

        for format in [Format::Json, Format::MessagePack] {
            let mut request = request("you");
            request.format = Some(format);
            let mut rig = rig.clone();
            let as_bytes = rig.open_for(request).0;
            let came = rig.attach(as_bytes, CHANNEL);
            let pages: Vec<&Vec<u8>> = came
                .others
                .iter()
                .filter_map(|output| match output {
                    Output::SendEncoded { transport, bytes } if transport.0 == as_bytes => {
                        Some(bytes)
                    }
                    _ => None,
                })
                .collect();
            assert_eq!(pages.len(), frames.len());
            for (page, frame) in pages.iter().zip(&frames) {
                assert_eq!(**page, frame.encode(format));
                assert_eq!(ProtocolMessage::decode(format, page).as_ref(), Ok(frame));
            }
        }
    }
}

#[test]
fn rtp17a_pages_of_own_members_come_as_bytes_too() {
    let mut rig = a_full_channel(0);
    let mut request = request("me");
    request.format = Some(Format::Json);
    let me = rig.open_for(request).0;
    // The mode PRESENCE alone.
    let attach = json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16});
    rig.recv(me, attach.clone());
    rig.enter(me, 0, "here");
    let came = rig.recv(me, attach);
    let page = came.others.iter().find_map(|output| match output {
        Output::SendEncoded { bytes, .. } => Some(bytes),
        _ => None,
    });
    let page = page.expect("a page");
    let frame = ProtocolMessage::decode(Format::Json, page).expect("a frame");
    assert_eq!((frame.action, frame.presence.len()), (Action::Presence, 1));
    assert_eq!(*page, frame.encode(Format::Json));
}
