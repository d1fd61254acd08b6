//! Pages of syncs.

use crate::host::{CHANNEL, Host, request};
use presence_proto::TransportId;
use presence_proto::server::{Input, ServerOptions};
use presence_proto::wire::{Action, Format, ProtocolMessage};
use serde_json::json;
use std::collections::BTreeSet;

/// Members with all possible contents: regular ids, data of every kind, escaped text, unknown
/// encodings, extras.
fn a_full_channel(members: usize) -> Host {
    let mut config = ServerOptions::default();
    config.sync_page_members = 7;
    let mut host = Host::with(config);
    let many = host.join("*");
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
        let outputs = host.presence(many, serial, item);
        assert_eq!(outputs.error_codes(many), [0; 0]);
    }
    host
}

#[test]
fn rtp18_a_page_has_the_members_at_the_time_of_its_call() {
    for members in [0, 1, 6, 7, 8, 40] {
        let host = a_full_channel(members);
        let mut other = host.clone();
        let newcomer = other.open_for(request("you")).0;
        let outputs = other.attach(newcomer, CHANNEL);
        let frames: Vec<ProtocolMessage> =
            outputs.frames_of(newcomer, Action::Sync).into_iter().cloned().collect();
        assert_eq!(frames.len(), members.div_ceil(7), "{members}");
        assert_eq!(frames.iter().map(|frame| frame.presence.len()).sum::<usize>(), members);

        // The host encodes them later. By then all members may have left.
        let mut host = host;
        let newcomer = host.open_for(request("you")).0;
        let pages = host.attach(newcomer, CHANNEL).pages;
        host.input(Input::kick(CHANNEL, None, None));
        assert!(host.members().is_empty());
        assert_eq!(pages.len(), frames.len());
        for (mut frame, expected) in pages.into_iter().zip(&frames) {
            assert_eq!(frame.head().presence.len(), 0);
            assert_eq!(frame.to_message().presence, expected.presence);
            let expected = &frame.to_message();
            for format in [Format::Json, Format::MessagePack] {
                let bytes = frame.encode(format);
                assert_eq!(bytes, expected.encode(format));
                assert_eq!(frame.encode(format).as_ptr(), bytes.as_ptr(), "encoded once");
                assert_eq!(ProtocolMessage::decode(format, &bytes).as_ref(), Ok(expected));
            }
        }
    }
}

#[test]
fn rtp17a_pages_of_own_members_are_presence() {
    let mut host = a_full_channel(0);
    let me = host.open_for(request("me")).0;
    // The mode PRESENCE alone.
    let attach = json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16});
    host.recv(me, attach.clone());
    host.enter(me, 0, "here");
    let outputs = host.recv(me, attach);
    let pages = outputs.frames_of(me, Action::Presence);
    assert_eq!(pages.iter().map(|page| page.presence.len()).collect::<Vec<_>>(), [1]);
}

/// Own members leave or enter while the pages of own members are sent: before the next page, at its
/// start, and behind it.
#[test]
fn rtp17a_each_own_member_is_sent_once_while_others_leave() {
    let client_id = |n: usize| format!("m{n}");
    let item = |action: u8, n: usize| json!({"action": action, "clientId": client_id(n)});
    for leaving in [vec![99], vec![90], vec![89], vec![0], vec![89, 88, 90], (0..90).collect()] {
        let mut config = ServerOptions::default();
        config.sync_page_members = 10;
        config.sync_pages_per_call = 1;
        let mut host = Host::with(config);
        let me = host.open("*");
        // The mode PRESENCE alone.
        let attach = json!({"action": 10, "channel": CHANNEL, "flags": 1 << 16});
        host.recv(me, attach.clone());
        let presence = |serial: usize, items: Vec<serde_json::Value>| {
            let frame = json!({
                "action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": items,
            });
            Input::received(TransportId(me), crate::text::decode(&frame))
        };
        host.input(presence(0, (0..100).map(|n| item(2, n)).collect()));

        // The first page comes with ATTACHED.
        let attach = Input::received(TransportId(me), crate::text::decode(&attach));
        let mut outputs = host.call(attach);
        assert_eq!(outputs.items(me).len(), 10);
        // These calls send no page: the sync waits.
        host.call(Input::congested(TransportId(me)));
        let told = host.call(presence(1, leaving.iter().map(|n| item(3, *n)).collect()));
        assert_eq!(told.items(me).len(), leaving.len());
        let told = host.call(presence(2, vec![item(2, 100)]));
        assert_eq!(told.items(me).len(), 1);
        outputs.extend(host.writable(me));

        let items = outputs.items(me);
        let told: BTreeSet<String> =
            items.iter().map(|item| item.client_id.clone().unwrap_or_default().into()).collect();
        let wanted = (0..100).filter(|n| *n >= 90 || !leaving.contains(n)).map(client_id);
        assert_eq!(told, wanted.collect(), "{leaving:?}");
        assert_eq!(told.len(), items.len(), "none is told twice: {leaving:?}");
        assert!(
            outputs.frames_of(me, Action::Presence).iter().all(|frame| !frame.presence.is_empty())
        );
        host.end();
    }
}
