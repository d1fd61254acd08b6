//! The effect of connection states on channels: `channels/channel_connection_state.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::{ChannelState, ConnectionState, Input};
use presence_proto::wire::{Action, ErrorInfo, Flags, ProtocolMessage};

fn fatal() -> ProtocolMessage {
    ProtocolMessage::error(ErrorInfo::new(40198, 403, "account disabled"))
}

/// A host whose channel `a` is attached and whose channel `b` is attaching, with its operation.
fn two_channels() -> (Host, presence_proto::OpId) {
    let mut host = Host::answered(options());
    host.attach("a");
    host.answers.attach = None;
    let op = host.attach("b");
    assert_eq!(host.channel_state("a"), ChannelState::Attached);
    assert_eq!(host.channel_state("b"), ChannelState::Attaching);
    host.forget();
    (host, op)
}

/// A host whose channel `a` is initialized and whose channel `b` is detached.
fn idle_channels() -> Host {
    let mut host = Host::answered(options());
    let options = presence_proto::client::ChannelOptions::default();
    host.op(|op| Input::set_options(op, "a", options));
    host.attach("b");
    host.detach("b");
    assert_eq!(host.channel_state("a"), ChannelState::Initialized);
    assert_eq!(host.channel_state("b"), ChannelState::Detached);
    host.forget();
    host
}

/// The previous and the current state of the only event of a channel.
fn step(host: &mut Host, channel: &str) -> (ChannelState, ChannelState) {
    let events = host.channel_events(channel);
    assert_eq!(events.len(), 1, "{events:?}");
    (events[0].previous, events[0].current)
}

// UTS: realtime/unit/RTL3e/disconnected-attached-noop-0
// UTS: realtime/unit/RTL3e/disconnected-attaching-noop-1
#[test]
fn rtl3e_channels_stay_as_they_are_while_disconnected() {
    let (mut host, op) = two_channels();
    host.unreachable = true;
    host.lose();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    assert_eq!(host.channel_state("a"), ChannelState::Attached);
    assert_eq!(host.channel_state("b"), ChannelState::Attaching);
    assert_eq!((host.channel_events("a"), host.channel_events("b")), (vec![], vec![]));
    assert!(host.is_pending(op));
}

// UTS: realtime/unit/RTL3a/failed-attached-to-failed-0
// UTS: realtime/unit/RTL3a/failed-attaching-to-failed-1
#[test]
fn rtl3a_channels_fail_when_the_connection_fails() {
    let (mut host, op) = two_channels();
    host.recv_last(fatal());
    assert_eq!(host.state(), ConnectionState::Failed);
    host.err(op);
    for channel in ["a", "b"] {
        assert_eq!(host.channel_error(channel).unwrap().code, 40198);
    }
    let events = host.channel_events("a");
    assert_eq!(
        (events[0].previous, events[0].current),
        (ChannelState::Attached, ChannelState::Failed)
    );
    assert_eq!(events[0].reason.as_ref().unwrap().code, 40198);
    assert_eq!(step(&mut host, "b"), (ChannelState::Attaching, ChannelState::Failed));
}

// UTS: realtime/unit/RTL3a/other-states-unaffected-2
#[test]
fn rtl3a_idle_channels_do_not_fail() {
    let mut host = idle_channels();
    host.recv_last(fatal());
    assert_eq!(host.state(), ConnectionState::Failed);
    assert_eq!(host.channel_state("a"), ChannelState::Initialized);
    assert_eq!(host.channel_state("b"), ChannelState::Detached);
    assert_eq!((host.channel_events("a"), host.channel_events("b")), (vec![], vec![]));
}

// UTS: realtime/unit/RTL3b/closed-attached-to-detached-0
// UTS: realtime/unit/RTL3b/closed-attaching-to-detached-1
#[test]
fn rtl3b_channels_are_detached_when_the_connection_is_closed() {
    let (mut host, op) = two_channels();
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closed);
    host.err(op);
    assert_eq!(step(&mut host, "a"), (ChannelState::Attached, ChannelState::Detached));
    assert_eq!(step(&mut host, "b"), (ChannelState::Attaching, ChannelState::Detached));
}

// UTS: realtime/unit/RTL3c/suspended-attached-to-suspended-0
// UTS: realtime/unit/RTL3c/suspended-attaching-to-suspended-1
#[test]
fn rtl3c_channels_are_suspended_when_the_connection_is() {
    let (mut host, op) = two_channels();
    host.suspend();
    host.err(op);
    assert_eq!(step(&mut host, "a"), (ChannelState::Attached, ChannelState::Suspended));
    assert_eq!(step(&mut host, "b"), (ChannelState::Attaching, ChannelState::Suspended));
}

// UTS: realtime/unit/RTL3d/reattach-attached-with-serial-0
#[test]
fn rtl3d_an_attached_channel_is_attached_again_with_its_serial() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    let mut frame = attached(CH, Flags::empty());
    frame.channel_serial = Some("serial-1".into());
    host.recv(frame);
    host.forget();
    host.answers.attach = Some(Flags::empty());
    host.reconnect("conn-1", "key-2");
    let frame = host.sent_one();
    assert_eq!(frame.action, Action::Attach);
    assert_eq!(frame.channel_serial.as_deref(), Some("serial-1"));
    assert_eq!(host.channel_path(CH), ["attaching", "attached"]);
}

// UTS: realtime/unit/RTL3d/reattach-suspended-channels-1
#[test]
fn rtl3d_a_suspended_channel_is_attached_again() {
    let mut host = Host::answered(options());
    host.attach(CH);
    host.suspend();
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.forget();
    host.advance(30_000);
    host.accept("conn-1", "key-2");
    assert_eq!(actions_of(&host.sent()), [Action::Attach]);
    assert_eq!(host.channel_path(CH), ["attaching", "attached"]);
}

// UTS: realtime/unit/RTL3d/init-detached-not-reattached-2
#[test]
fn rtl3d_idle_channels_are_not_attached() {
    let mut host = idle_channels();
    host.reconnect("conn-1", "key-2");
    assert_eq!(host.sent(), []);
    assert_eq!(host.channel_state("a"), ChannelState::Initialized);
    assert_eq!(host.channel_state("b"), ChannelState::Detached);
    assert_eq!((host.channel_events("a"), host.channel_events("b")), (vec![], vec![]));
}

// UTS: realtime/unit/RTL3d/multiple-channels-reattached-3
#[test]
fn rtl3d_all_channels_are_attached_again() {
    let (mut host, op) = two_channels();
    host.answers.attach = Some(Flags::empty());
    host.reconnect("conn-1", "key-2");
    let channels: Vec<_> =
        host.sent_of(Action::Attach).into_iter().filter_map(|frame| frame.channel).collect();
    assert_eq!(channels, ["a", "b"]);
    host.ok(op);
    assert_eq!(host.channel_state("a"), ChannelState::Attached);
    assert_eq!(host.channel_state("b"), ChannelState::Attached);
}
