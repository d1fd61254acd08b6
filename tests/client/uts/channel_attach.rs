//! Attaching: `channels/channel_attach.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{ChannelOptions, ChannelState, ClientOptions, ConnectionState, Input};
use presence_proto::wire::{Action, ErrorInfo, Flags, Modes, ProtocolMessage};

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_millis(100);
    options
}

fn set_modes(host: &mut Host, modes: Modes) -> presence_proto::OpId {
    let mut options = ChannelOptions::default();
    options.modes = Some(modes);
    host.op(|op| Input::set_options(op, CH, options))
}

// UTS: realtime/unit/RTL4a/already-attached-noop-0
#[test]
fn rtl4a_attach_when_attached_does_nothing() {
    let mut host = Host::answered(options());
    let op = host.attach(CH);
    host.ok(op);
    assert_eq!(host.sent().len(), 1);
    let op = host.attach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL4h/attach-while-attaching-0
#[test]
fn rtl4h_attach_while_attaching_waits_for_the_same_answer() {
    let mut host = Host::unanswered(options());
    let first = host.attach(CH);
    let second = host.attach(CH);
    assert!(host.is_pending(first) && host.is_pending(second));
    host.recv(attached(CH, Flags::empty()));
    host.ok(first);
    host.ok(second);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent().len(), 1);
}

// UTS: realtime/unit/RTL4h/attach-while-detaching-1
#[test]
fn rtl4h_attach_while_detaching_waits_and_then_attaches() {
    let mut host = Host::answered(options());
    host.answers.detach = false;
    host.attach(CH);
    let detach = host.detach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Detaching);
    let attach = host.attach(CH);
    assert!(host.is_pending(attach));
    host.recv(detached(CH, None));
    host.ok(detach);
    host.ok(attach);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach, Action::Detach, Action::Attach]);
}

// UTS: realtime/unit/RTL4g/attach-from-failed-0
#[test]
fn rtl4g_a_failed_channel_can_be_attached() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    host.recv(channel_error(CH, refused()));
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert!(host.channel_error(CH).is_some());
    let op = host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.channel_error(CH), None);
}

// UTS: realtime/unit/RTL4c/clears-error-reason-0
#[test]
fn rtl4c_attaching_clears_the_error_reason_of_a_suspension() {
    let mut host = Host::answered(options());
    host.attach(CH);
    host.suspend();
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    assert!(host.channel_error(CH).is_some());
    host.advance(30_000);
    host.accept("conn-1", "key-1");
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.channel_error(CH), None);
}

// UTS: realtime/unit/RTL4b/fails-connection-closed-0
#[test]
fn rtl4b_attach_fails_when_the_connection_is_closed() {
    let mut host = Host::answered(options());
    host.input(Input::Close);
    assert_eq!(host.state(), ConnectionState::Closed);
    let op = host.attach(CH);
    host.err(op);
    assert_ne!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTL4b/fails-connection-failed-1
#[test]
fn rtl4b_attach_fails_when_the_connection_has_failed() {
    let mut host = Host::answered(options());
    host.recv_last(ProtocolMessage::error(ErrorInfo::new(80000, 400, "fatal")));
    assert_eq!(host.state(), ConnectionState::Failed);
    let op = host.attach(CH);
    host.err(op);
    assert_ne!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTL4b/fails-connection-suspended-2
#[test]
fn rtl4b_attach_fails_when_the_connection_is_suspended() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    host.suspend();
    let op = host.attach(CH);
    host.err(op);
    assert_ne!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTL4i/queued-while-connecting-0
#[test]
fn rtl4i_a_channel_is_attaching_while_the_connection_connects() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    assert_eq!(host.state(), ConnectionState::Connecting);
    let op = host.attach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    assert!(host.is_pending(op));
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL4i/completes-on-connected-1
#[test]
fn rtl4i_attach_is_sent_once_connected() {
    let mut host = Host::new(options());
    host.answers.attach = Some(Flags::empty());
    host.input(Input::Connect);
    let op = host.attach(CH);
    assert_eq!(host.sent(), []);
    host.accept("conn-1", "key-1");
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach]);
}

// UTS: realtime/unit/RTL4c/sends-attach-message-1
#[test]
fn rtl4c_attach_sends_attach_and_is_attaching_until_answered() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    let frame = host.sent_one();
    assert_eq!((frame.action, frame.channel.as_deref()), (Action::Attach, Some(CH)));
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(host.channel_path(CH), ["attaching", "attached"]);
}

// UTS: realtime/unit/RTL4c1/includes-channel-serial-0
#[test]
fn rtl4c1_a_further_attach_carries_the_channel_serial() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    assert_eq!(host.sent_one().channel_serial, None);
    let mut frame = attached(CH, Flags::empty());
    frame.channel_serial = Some("serial-1".into());
    host.recv(frame);
    set_modes(&mut host, Modes::SUBSCRIBE);
    assert_eq!(host.sent_one().channel_serial.as_deref(), Some("serial-1"));
}

// UTS: realtime/unit/RTL4f/timeout-to-suspended-0
#[test]
fn rtl4f_an_attach_without_answer_suspends_the_channel() {
    let mut host = Host::unanswered(quick());
    let op = host.attach(CH);
    host.advance(99);
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    host.advance(1);
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
}

// UTS: realtime/unit/RTL4k/includes-channel-params-0
#[test]
fn rtl4k_attach_carries_the_params() {
    let mut host = Host::unanswered(options());
    let mut options = ChannelOptions::default();
    options.params = vec![("rewind".into(), "1".into()), ("delta".into(), "vcdiff".into())];
    host.op(|op| Input::set_options(op, CH, options));
    host.attach(CH);
    let params = host.sent_one().params.unwrap();
    assert_eq!((param(&params, "rewind"), param(&params, "delta")), (Some("1"), Some("vcdiff")));
    assert_eq!(params.len(), 2);
}

// UTS: realtime/unit/RTL4l/modes-encoded-as-flags-0
#[test]
fn rtl4l_attach_carries_the_modes_as_flags() {
    let mut host = Host::unanswered(options());
    set_modes(&mut host, Modes::PUBLISH | Modes::SUBSCRIBE);
    host.attach(CH);
    assert_eq!(host.sent_one().flags().bits(), 131_072 | 262_144);
}

// UTS: realtime/unit/RTL4m/modes-from-attached-0
#[test]
fn rtl4m_the_granted_modes_are_those_of_attached() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(attached(CH, Flags::from_bits_retain(393_216)));
    assert_eq!(host.modes(CH), Some(Modes::PUBLISH | Modes::SUBSCRIBE));
}

// RTL4j is deleted: the flag is never sent.
// UTS: realtime/unit/RTL4j/attach-resume-flag-0
#[test]
fn tr3f_the_flag_attach_resume_is_never_sent() {
    let mut host = Host::answered(options());
    host.attach(CH);
    set_modes(&mut host, Modes::SUBSCRIBE);
    host.reconnect("conn-1", "key-2");
    let sent = host.sent_of(Action::Attach);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|frame| !frame.flags().contains(Flags::ATTACH_RESUME)));
}
