//! A client and the server half together: `integration/presence*`, `integration/channels`,
//! `integration/connection_lifecycle_test.md` and `integration/proxy`.
//!
//! Each test runs in both encodings.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use crate::linked::Linked;
use core::time::Duration;
use presence_proto::client::{ChannelState, ClientOptions, ConnectionState, Input};
use presence_proto::server::{Capability, Operations, ServerOptions};
use presence_proto::wire::PresenceAction::{Enter, Leave, Present, Update};
use presence_proto::wire::{
    Action, ConnectionDetails, Data, ErrorInfo, Flags, Format, Message, ProtocolMessage,
};

const SECOND: Duration = Duration::from_secs(1);

fn worlds() -> [Linked; 2] {
    [Format::Json, Format::MessagePack].map(|format| Linked::new(format, ServerOptions::default()))
}

fn renewable() -> ClientOptions {
    let mut options = options();
    options.token = Some("token-1".into());
    options.token_renewable = true;
    options
}

fn continuity_lost() -> ErrorInfo {
    ErrorInfo::new(91001, 500, "continuity lost")
}

/// CONNECTED as if a resume or a recovery had failed.
fn other_connection() -> ProtocolMessage {
    connected("made-up-id", "made-up-key").with_error(ErrorInfo::new(80008, 400, "too late"))
}

fn message(name: &str) -> Box<ProtocolMessage> {
    let mut message = Message::default();
    message.name = Some(name.into());
    message.data = Some(Data::from("data"));
    let mut frame = ProtocolMessage::on_channel(Action::Message, CH);
    frame.messages = vec![message];
    Box::new(frame)
}

/// A connected client that is attached.
fn attached_in(world: &mut Linked, options: ClientOptions) -> usize {
    let peer = world.connected(options);
    let op = world.peer(peer).attach(CH);
    world.peer(peer).ok(op);
    peer
}

/// The same, entered with `hello`.
fn entered_in(world: &mut Linked, client_id: &str) -> usize {
    let peer = attached_in(world, options_of(client_id));
    let op = world.peer(peer).enter("hello");
    world.peer(peer).ok(op);
    peer
}

// UTS: realtime/integration/RTP4/bulk-enter-observed-0
#[test]
fn rtp4_another_connection_sees_many_members() {
    const MANY: usize = 250;
    for mut world in worlds() {
        let observer = attached_in(&mut world, options());
        world.peer(observer).subscribe(1, &[Enter]);
        let many = attached_in(&mut world, options());
        for n in 0..MANY {
            let (name, data) = (format!("user-{n}"), format!("data-{n}"));
            let op = world.peer(many).change(Enter, Some(&name), Some(&data));
            world.peer(many).ok(op);
        }
        world.advance(SECOND);
        assert_eq!(world.peer(observer).presence_events().len(), MANY);
        let op = world.peer(observer).get();
        let members = world.peer(observer).members(op);
        assert_eq!(members.len(), MANY);
        for n in 0..MANY {
            let (name, data) = (format!("user-{n}"), format!("data-{n}"));
            let member = members.iter().find(|m| m.client_id.as_deref() == Some(&name)).unwrap();
            assert_eq!(text(member), Some(data.as_str()));
        }
    }
}

// UTS: realtime/integration/RTP8/enter-update-leave-lifecycle-0
#[test]
fn rtp8_an_observer_sees_enter_update_and_leave() {
    for mut world in worlds() {
        let observer = attached_in(&mut world, options());
        world.peer(observer).subscribe(1, &[]);
        let member = attached_in(&mut world, options_of("lifecycle-client"));
        for (action, data, left) in
            [(Enter, "hello", false), (Update, "world", false), (Leave, "goodbye", true)]
        {
            let op = world.peer(member).change(action, None, Some(data));
            world.peer(member).ok(op);
            world.advance(SECOND);
            let events = world.peer(observer).presence_events();
            assert_eq!(
                (actions(&events), names(&events)),
                (vec![action], vec!["lifecycle-client"])
            );
            assert_eq!(text(&events[0]), Some(data));
            let op = world.peer(observer).get();
            let members = world.peer(observer).members(op);
            let expected = if left { vec![] } else { vec![Some(data)] };
            assert_eq!(members.iter().map(text).collect::<Vec<_>>(), expected);
        }
    }
}

// UTS: realtime/integration/RTP2/sync-delivers-members-0
#[test]
fn rtp18_a_new_subscriber_is_synced_with_one_member() {
    for mut world in worlds() {
        entered_in(&mut world, "sync-member");
        let observer = attached_in(&mut world, options());
        let op = world.peer(observer).get();
        world.advance(SECOND);
        let members = world.peer(observer).members(op);
        assert_eq!((names(&members), actions(&members)), (vec!["sync-member"], vec![Present]));
        assert_eq!(text(&members[0]), Some("hello"));
    }
}

// In pages of three.
// UTS: realtime/integration/RTP2/sync-multiple-members-1
#[test]
fn rtp18_a_new_subscriber_is_synced_with_all_members() {
    for format in [Format::Json, Format::MessagePack] {
        let mut config = ServerOptions::default();
        config.sync_page_members = 3;
        let mut world = Linked::new(format, config);
        let many = attached_in(&mut world, options());
        for n in 0..10 {
            let (name, data) = (format!("sync-user-{n}"), format!("data-{n}"));
            let op = world.peer(many).change(Enter, Some(&name), Some(&data));
            world.peer(many).ok(op);
        }
        let observer = attached_in(&mut world, options());
        let op = world.peer(observer).get();
        world.advance(SECOND);
        let members = world.peer(observer).members(op);
        assert_eq!(members.len(), 10);
        for (n, member) in members.iter().enumerate() {
            assert_eq!(member.client_id, Some(format!("sync-user-{n}").into()));
            assert_eq!(text(member), Some(format!("data-{n}").as_str()));
        }
        assert_eq!(world.received(observer, Action::Sync).len(), 4);
    }
}

// UTS: realtime/integration/RTL4c/attach-succeeds-0
// UTS: realtime/integration/RTL5d/detach-succeeds-0
#[test]
fn rtl4c_attach_and_detach_succeed() {
    for mut world in worlds() {
        let peer = attached_in(&mut world, options());
        assert_eq!(world.peer(peer).channel_state(CH), ChannelState::Attached);
        assert_eq!(world.peer(peer).channel_error(CH), None);
        let op = world.peer(peer).detach(CH);
        world.peer(peer).ok(op);
        assert_eq!(world.peer(peer).channel_state(CH), ChannelState::Detached);
    }
}

// UTS: realtime/integration/RTL14/insufficient-capability-failed-0
#[test]
fn rtl14_a_forbidden_operation_is_refused_and_the_connection_stays() {
    for mut world in worlds() {
        let capability = Capability::none().allow("*", Operations::SUBSCRIBE);
        let peer = world.add(options_of("me"));
        world.world.set_capability(peer, capability);
        world.peer(peer).pass_in(Input::Connect);
        let op = world.peer(peer).attach(CH);
        world.peer(peer).ok(op);
        let publish = world.peer(peer).op(|op| Input::send(op, message("test")));
        let enter = world.peer(peer).enter("hello");
        for op in [publish, enter] {
            let error = world.peer(peer).err(op);
            assert_eq!((error.code, error.status_code), (40160, 401));
        }
        assert_eq!(world.peer(peer).state(), ConnectionState::Connected);
    }
}

// UTS: realtime/integration/RTN4b/successful-connection-0
#[test]
fn rtn4b_a_connection_has_an_id_and_a_key() {
    for mut world in worlds() {
        let peer = world.add(options());
        assert_eq!(world.peer(peer).state(), ConnectionState::Initialized);
        world.peer(peer).pass_in(Input::Connect);
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["connecting", "connected"]);
        assert!(!host.connection_id().unwrap().is_empty());
        assert!(!host.connection_key().unwrap().is_empty());
        assert_eq!(host.error_reason(), None);
    }
}

// UTS: realtime/integration/RTN4c/graceful-close-0
#[test]
fn rtn12a_a_connection_is_closed() {
    for mut world in worlds() {
        let peer = world.connected(options());
        world.peer(peer).forget();
        world.peer(peer).pass_in(Input::Close);
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["closing", "closed"]);
        assert_eq!((host.connection_id(), host.connection_key()), (None, None));
        assert_eq!(host.error_reason(), None);
    }
}

// UTS: realtime/integration/RTN11/connect-reconnect-cycle-0
#[test]
fn rtn11_a_closed_client_gets_another_connection() {
    for mut world in worlds() {
        let peer = world.connected(options());
        let first = world.peer(peer).connection_id();
        world.peer(peer).pass_in(Input::Close);
        world.peer(peer).pass_in(Input::Connect);
        assert_eq!(world.peer(peer).state(), ConnectionState::Connected);
        let second = world.peer(peer).connection_id();
        assert!(second.is_some() && second != first);
        assert_eq!(world.peer(peer).error_reason(), None);
    }
}

// UTS: realtime/proxy/RTP17i/reenter-on-non-resumed-0
#[test]
fn rtp17i_own_members_are_entered_again_when_continuity_is_lost() {
    for mut world in worlds() {
        let member = entered_in(&mut world, "client-a");
        let observer = attached_in(&mut world, options());
        world.peer(observer).subscribe(1, &[]);
        world.peer(observer).forget();
        assert_eq!(world.sent(member, Action::Presence).len(), 1);
        world.fault(|world| {
            world.inject(member, attached(CH, Flags::empty()).with_error(continuity_lost()))
        });
        let sent = world.sent(member, Action::Presence);
        assert_eq!(sent.len(), 2);
        let item = &sent[1].presence[0];
        assert_eq!((item.action, item.client_id.as_deref()), (Enter, Some("client-a")));
        assert_eq!(text(item), Some("hello"));
        world.advance(SECOND);
        assert_eq!(world.peer(observer).presence_events(), [], "it had never left");
        assert_eq!(world.peer(member).channel_state(CH), ChannelState::Attached);
        assert_eq!(world.peer(member).state(), ConnectionState::Connected);
    }
}

// UTS: realtime/proxy/RTP17i/reenter-after-disconnect-1
#[test]
fn rtp17i_own_members_are_entered_again_after_a_loss() {
    for mut world in worlds() {
        let member = entered_in(&mut world, "client-a");
        let observer = attached_in(&mut world, options());
        world.peer(observer).subscribe(1, &[]);
        world.peer(observer).forget();
        let lost = attached(CH, Flags::empty()).with_error(continuity_lost());
        world.world.replace_received(member, Action::Attached, lost);
        world.fault(|world| world.cut(member));
        let sent = world.sent(member, Action::Presence);
        assert_eq!(sent.len(), 2);
        let item = &sent[1].presence[0];
        assert_eq!((item.action, item.client_id.as_deref()), (Enter, Some("client-a")));
        assert_eq!(text(item), Some("hello"));
        assert_eq!(world.peer(member).channel_state(CH), ChannelState::Attached);
        world.advance(60 * SECOND);
        assert_eq!(world.peer(observer).presence_events(), [], "no event");
        let op = world.peer(observer).get();
        assert_eq!(names(&world.peer(observer).members(op)), ["client-a"]);
    }
}

// HEARTBEATs of the server are lost while the transport stays open.
// UTS: realtime/proxy/RTN23a/heartbeat-starvation-reconnect-0
#[test]
fn rtn23a_a_client_without_heartbeats_connects_again() {
    for mut world in worlds() {
        let peer = world.connected(options());
        let id = world.peer(peer).connection_id();
        world.advance(120 * SECOND);
        assert_eq!(world.peer(peer).transports(), 1, "heartbeats keep it");
        world.peer(peer).forget();
        world.world.drop_received(peer, Action::Heartbeat, usize::MAX);
        world.advance(26 * SECOND);
        world.world.clear_frame_faults(peer);
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["disconnected", "connecting", "connected"]);
        assert_eq!((host.transports(), host.connection_id()), (2, id));
        assert!(host.param("resume").is_some());
    }
}

// UTS: realtime/proxy/RTN15a/disconnect-triggers-resume-0
// UTS: realtime/proxy/RTN15a/tcp-close-triggers-resume-1
// UTS: realtime/proxy/RTN15b/resume-preserves-connid-0
#[test]
fn rtn15c6_a_lost_connection_is_resumed_with_its_id() {
    for mut world in worlds() {
        let peer = world.connected(options());
        let (id, key) = (world.peer(peer).connection_id(), world.peer(peer).connection_key());
        world.peer(peer).forget();
        world.advance(SECOND);
        world.fault(|world| world.cut(peer));
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["disconnected", "connecting", "connected"]);
        assert_eq!(host.param("resume"), key.as_deref());
        assert_eq!((host.connection_id(), host.error_reason()), (id, None));
    }
}

// UTS: realtime/proxy/RTN15c7/failed-resume-new-connid-0
#[test]
fn rtn15c7_a_failed_resume_gives_another_id() {
    for mut world in worlds() {
        let peer = world.connected(options());
        world.world.replace_received(peer, Action::Connected, other_connection());
        world.fault(|world| world.cut(peer));
        let host = world.peer(peer);
        assert_eq!(host.state(), ConnectionState::Connected);
        assert_eq!(host.connection_id().as_deref(), Some("made-up-id"));
        assert_eq!(host.connection_key().as_deref(), Some("made-up-key"));
        assert_eq!(host.error_reason().unwrap().code, 80008);
        assert!(host.param("resume").is_some());
    }
}

// UTS: realtime/proxy/RTN15h1/token-error-nonrenewable-failed-0
#[test]
fn rtn15h1_a_token_that_cannot_be_renewed_fails_the_connection() {
    for mut world in worlds() {
        let mut options = options();
        options.token = Some("token-1".into());
        let peer = world.connected(options);
        world.fault(|world| world.inject_and_close(peer, disconnected(token_error())));
        world.advance(60 * SECOND);
        let host = world.peer(peer);
        assert_eq!(host.state(), ConnectionState::Failed);
        let reason = host.error_reason().unwrap();
        assert_eq!((reason.code, reason.status_code), (40171, 401));
        assert_eq!(host.transports(), 1);
    }
}

// UTS: realtime/proxy/RTN15h3/non-token-error-reconnects-0
#[test]
fn rtn15h3_disconnected_for_another_reason_is_followed_by_a_resume() {
    for mut world in worlds() {
        let peer = world.connected(options());
        let id = world.peer(peer).connection_id();
        world.peer(peer).forget();
        world.fault(|world| {
            world.inject_and_close(peer, disconnected(ErrorInfo::new(80003, 500, "unavailable")))
        });
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["disconnected", "connecting", "connected"]);
        assert_eq!((host.connection_id(), host.error_reason()), (id, None));
        assert!(host.param("resume").is_some());
    }
}

// UTS: realtime/proxy/RTN15j/fatal-error-established-conn-0
#[test]
fn rtn15j_an_error_of_the_connection_fails_all_channels() {
    for mut world in worlds() {
        let peer = world.connected(options());
        for channel in ["a", "b"] {
            world.peer(peer).attach(channel);
        }
        world.peer(peer).forget();
        world.fault(|world| {
            world.inject(peer, ProtocolMessage::error(ErrorInfo::new(50000, 500, "internal error")))
        });
        world.advance(60 * SECOND);
        let mut host = world.peer(peer);
        assert_eq!(host.state(), ConnectionState::Failed);
        assert_eq!(host.error_reason().unwrap().code, 50000);
        assert_eq!(host.connection_path(), ["failed"]);
        for channel in ["a", "b"] {
            assert_eq!(host.channel_path(channel), ["failed"]);
            assert_eq!(host.channel_error(channel).unwrap().code, 50000);
        }
        assert_eq!(host.transports(), 1);
    }
}

// RTN14h: the client still tries to resume, but the server has dropped the connection.
// UTS: realtime/proxy/RTN15g/ttl-expiry-clears-resume-0
#[test]
fn rtn14h_a_resume_after_the_connection_state_ttl_gives_another_id() {
    for format in [Format::Json, Format::MessagePack] {
        let mut config = ServerOptions::default();
        config.connection_state_ttl = 2 * SECOND;
        let mut world = Linked::new(format, config);
        let mut options = options();
        options.suspended_retry_timeout = SECOND;
        let peer = world.connected(options);
        let id = world.peer(peer).connection_id();
        world.peer(peer).forget();
        world.world.set_reachable(peer, false);
        world.fault(|world| world.cut(peer));
        world.world.set_reachable(peer, true);
        assert_eq!(world.peer(peer).state(), ConnectionState::Disconnected);
        world.advance(2 * SECOND);
        assert_eq!(world.peer(peer).state(), ConnectionState::Suspended);
        world.advance(SECOND);
        let host = world.peer(peer);
        assert_eq!(host.state(), ConnectionState::Connected);
        assert!(host.param("resume").is_some());
        assert_ne!(host.connection_id(), id);
        assert!(host.error_reason().is_some(), "the reason of the server");
    }
}

// UTS: realtime/proxy/RTN19a/unacked-resent-on-resume-0
#[test]
fn rtn19a_unacknowledged_frames_are_sent_again_and_applied_once() {
    for mut world in worlds() {
        let observer = attached_in(&mut world, options());
        world.peer(observer).subscribe(1, &[]);
        let peer = attached_in(&mut world, options_of("me"));
        world.world.drop_received(peer, Action::Ack, 2);
        let publish = world.peer(peer).op(|op| Input::send(op, message("event")));
        let enter = world.peer(peer).enter("hello");
        world.advance(SECOND);
        assert!(world.peer(peer).is_pending(publish) && world.peer(peer).is_pending(enter));
        world.fault(|world| world.cut(peer));
        world.advance(SECOND);
        world.peer(peer).ok(publish);
        world.peer(peer).ok(enter);
        assert!(world.peer(peer).param("resume").is_some());
        for action in [Action::Message, Action::Presence] {
            let sent = world.sent(peer, action);
            assert!(sent.len() >= 2);
            assert_eq!(sent[0].msg_serial, sent[1].msg_serial);
        }
        assert_eq!(actions(&world.peer(observer).presence_events()), [Enter]);
        assert_eq!(world.peer(observer).frames().len(), 1);
    }
}

// UTS: realtime/proxy/RTN16d/recovery-preserves-connid-0
#[test]
fn rtn16d_another_client_recovers_a_connection() {
    for mut world in worlds() {
        let first = attached_in(&mut world, options());
        let (id, key) = (world.peer(first).connection_id(), world.peer(first).connection_key());
        let recovery_key = world.peer(first).recovery_key();
        world.world.set_reachable(first, false);
        world.fault(|world| world.cut(first));
        world.peer(first).pass_in(Input::Close);
        let mut options = options();
        options.recover = recovery_key;
        let second = world.connected(options);
        let host = world.peer(second);
        assert_eq!((host.connection_id(), host.error_reason()), (id, None));
        assert!(host.connection_key().is_some());
        assert_eq!((host.param("recover"), host.param("resume")), (key.as_deref(), None));
    }
}

// UTS: realtime/proxy/RTN16l/recovery-failure-fresh-conn-0
#[test]
fn rtn16l_a_failed_recovery_is_a_new_connection() {
    for mut world in worlds() {
        let mut options = options();
        let key = r#"{"connectionKey":"stale","msgSerial":99,"channelSerials":{"old":"serial"}}"#;
        options.recover = Some(key.into());
        let peer = world.connected(options);
        let host = world.peer(peer);
        assert_eq!(host.param("recover"), Some("stale"));
        assert_eq!(host.state(), ConnectionState::Connected);
        assert!(host.connection_id().is_some() && host.connection_key().is_some());
        assert!(matches!(host.error_reason().unwrap().code, 80008 | 80018));
    }
}

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = 3 * SECOND;
    options
}

// UTS: realtime/proxy/RTL4f/attach-timeout-suppressed-0
#[test]
fn rtl4f_a_lost_attach_suspends_the_channel() {
    for mut world in worlds() {
        let peer = world.connected(quick());
        world.world.drop_sent(peer, Action::Attach, usize::MAX);
        let op = world.peer(peer).attach(CH);
        world.advance(3 * SECOND);
        let mut host = world.peer(peer);
        host.err(op);
        assert_eq!(host.channel_path(CH), ["attaching", "suspended"]);
        assert_eq!(host.state(), ConnectionState::Connected);
        world.world.clear_frame_faults(peer);
        world.advance(15 * SECOND);
        assert_eq!(world.peer(peer).channel_path(CH), ["attaching", "attached"]);
    }
}

// UTS: realtime/proxy/RTL14/error-on-attach-0
#[test]
fn rtl14_an_error_in_reply_to_attach_fails_the_channel() {
    for mut world in worlds() {
        let peer = world.connected(options());
        world.world.replace_received(peer, Action::Attached, channel_error(CH, refused()));
        let op = world.peer(peer).attach(CH);
        let mut host = world.peer(peer);
        assert_eq!(host.err(op), refused());
        assert_eq!(host.channel_error(CH), Some(refused()));
        assert_eq!(host.channel_path(CH), ["attaching", "failed"]);
        assert_eq!(host.state(), ConnectionState::Connected);
    }
}

// UTS: realtime/proxy/RTL5f/detach-timeout-suppressed-0
#[test]
fn rtl5f_a_lost_detach_leaves_the_channel_attached() {
    for mut world in worlds() {
        let peer = attached_in(&mut world, quick());
        world.peer(peer).forget();
        world.world.drop_sent(peer, Action::Detach, 1);
        let op = world.peer(peer).detach(CH);
        world.advance(3 * SECOND);
        let mut host = world.peer(peer);
        host.err(op);
        assert_eq!(host.channel_path(CH), ["detaching", "attached"]);
        assert_eq!(host.state(), ConnectionState::Connected);
    }
}

// UTS: realtime/proxy/RTL13a/unsolicited-detach-reattach-0
#[test]
fn rtl13a_an_unsolicited_detached_sends_attach() {
    for mut world in worlds() {
        let peer = attached_in(&mut world, options());
        world.peer(peer).forget();
        world.fault(|world| {
            world.inject(peer, detached(CH, Some(ErrorInfo::new(90198, 500, "by the server"))))
        });
        let mut host = world.peer(peer);
        assert_eq!(host.channel_path(CH), ["attaching", "attached"]);
        assert_eq!(host.state(), ConnectionState::Connected);
        assert_eq!(world.sent(peer, Action::Attach).len(), 2);
    }
}

// UTS: realtime/proxy/RTL14/channel-error-goes-failed-1
#[test]
fn rtl14_an_unsolicited_error_fails_the_channel() {
    for mut world in worlds() {
        let peer = attached_in(&mut world, options());
        world.peer(peer).forget();
        world.fault(|world| world.inject(peer, channel_error(CH, refused())));
        let mut host = world.peer(peer);
        assert_eq!(host.channel_path(CH), ["failed"]);
        assert_eq!(host.channel_error(CH), Some(refused()));
        assert_eq!(host.state(), ConnectionState::Connected);
    }
}

// UTS: realtime/proxy/RTL12/attached-non-resumed-update-0
#[test]
fn rtl12_an_unsolicited_attached_is_an_update() {
    for mut world in worlds() {
        let peer = attached_in(&mut world, options());
        world.peer(peer).forget();
        world.fault(|world| {
            world.inject(peer, attached(CH, Flags::empty()).with_error(continuity_lost()))
        });
        let mut host = world.peer(peer);
        let events = host.channel_events(CH);
        assert_eq!(events.len(), 1);
        assert_eq!((events[0].event.name(), events[0].resumed), ("update", false));
        assert_eq!(events[0].reason, Some(continuity_lost()));
        assert_eq!(host.channel_state(CH), ChannelState::Attached);
        assert_eq!(host.state(), ConnectionState::Connected);
    }
}

// UTS: realtime/proxy/RTL3d/channels-reattach-on-reconnect-0
#[test]
fn rtl3d_all_channels_are_attached_again_after_a_loss() {
    for mut world in worlds() {
        let peer = world.connected(options());
        for channel in ["a", "b"] {
            world.peer(peer).attach(channel);
        }
        world.peer(peer).forget();
        world.fault(|world| world.cut(peer));
        for channel in ["a", "b"] {
            assert_eq!(world.peer(peer).channel_path(channel), ["attaching", "attached"]);
        }
        assert_eq!(world.peer(peer).state(), ConnectionState::Connected);
        assert_eq!(world.sent(peer, Action::Attach).len(), 4);
    }
}

// UTS: realtime/proxy/RTN14a/fatal-connect-error-0
// UTS: realtime/proxy/RTN14g/server-error-causes-failed-0
#[test]
fn rtn14g_an_error_in_place_of_connected_fails_the_connection() {
    for (code, status) in [(40005, 400), (50000, 500)] {
        for mut world in worlds() {
            let peer = world.add(options());
            let error = ErrorInfo::new(code, status, "it will not do");
            world.world.replace_received(
                peer,
                Action::Connected,
                ProtocolMessage::error(error.clone()),
            );
            world.peer(peer).pass_in(Input::Connect);
            let mut host = world.peer(peer);
            assert_eq!(host.connection_path(), ["connecting", "failed"]);
            assert_eq!(host.error_reason(), Some(error));
            assert_eq!((host.connection_id(), host.connection_key()), (None, None));
        }
    }
}

// UTS: realtime/proxy/RTN14b/token-error-renew-reconnect-0
#[test]
fn rtn14b_a_token_error_in_place_of_connected_leads_to_a_new_token() {
    for mut world in worlds() {
        let peer = world.add(renewable());
        world.world.replace_received(
            peer,
            Action::Connected,
            ProtocolMessage::error(token_error()),
        );
        world.peer(peer).pass_in(Input::Connect);
        assert_eq!(world.peer(peer).tokens_requested(), 1);
        world.peer(peer).pass_in(Input::Token(Ok("token-2".into())));
        let host = world.peer(peer);
        assert_eq!(host.state(), ConnectionState::Connected);
        assert!(host.connection_id().is_some() && host.connection_key().is_some());
        assert_eq!((host.transports(), host.error_reason()), (2, None));
    }
}

// UTS: realtime/proxy/RTN14d/retry-after-refused-0
#[test]
fn rtn14d_a_refused_attempt_is_retried() {
    for mut world in worlds() {
        let mut options = options();
        options.disconnected_retry_timeout = 2 * SECOND;
        let peer = world.add(options);
        world.world.set_reachable(peer, false);
        world.peer(peer).pass_in(Input::Connect);
        world.world.set_reachable(peer, true);
        world.advance(2 * SECOND);
        let mut host = world.peer(peer);
        let path = ["connecting", "disconnected", "connecting", "connected"];
        assert_eq!((host.connection_path(), host.transports()), (path.to_vec(), 2));
    }
}

// UTS: realtime/proxy/RTN14c/connection-timeout-0
#[test]
fn rtn14c_an_attempt_without_connected_times_out() {
    for mut world in worlds() {
        let peer = world.add(quick());
        world.world.drop_received(peer, Action::Connected, 1);
        world.peer(peer).pass_in(Input::Connect);
        world.advance(3 * SECOND);
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["connecting", "disconnected"]);
        assert_eq!(host.error_reason().unwrap().status_code, 408);
        assert_eq!((host.connection_id(), host.connection_key()), (None, None));
    }
}

// UTS: realtime/proxy/RTN22/server-initiated-reauth-0
#[test]
fn rtn22_a_client_reauthorizes_while_connected() {
    for mut world in worlds() {
        let peer = world.connected(renewable());
        let id = world.peer(peer).connection_id();
        world.peer(peer).forget();
        world.fault(|world| world.inject(peer, ProtocolMessage::new(Action::Auth)));
        assert_eq!(world.peer(peer).tokens_requested(), 1);
        world.peer(peer).pass_in(Input::Token(Ok("token-2".into())));
        let sent = world.sent(peer, Action::Auth);
        assert_eq!(sent.len(), 1);
        let token = sent[0].auth.as_ref().unwrap().access_token.clone();
        assert_eq!(token.as_deref(), Some("token-2"));
        let mut host = world.peer(peer);
        assert_eq!(host.connection_path(), ["update"], "the server has accepted them");
        assert_eq!(host.connection_id(), id);
    }
}

/// The server's CONNECTED differs from the injected ones of these tests.
#[test]
fn cd2_the_server_sends_connection_details() {
    for mut world in worlds() {
        let peer = world.connected(options_of("me"));
        let details = world.received(peer, Action::Connected)[0]
            .connection_details
            .clone()
            .unwrap_or_default();
        assert_ne!(*details, ConnectionDetails::default());
        assert_eq!(details.client_id.as_deref(), Some("me"));
    }
}
