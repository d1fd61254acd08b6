//! Detaching: `channels/channel_detach.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{ChannelEvent, ChannelState, ClientOptions, ConnectionState, Input};
use presence_proto::wire::{Action, Flags};

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_millis(100);
    options
}

/// An attached host whose far end does not answer DETACH.
fn attached_host(options: ClientOptions) -> Host {
    let mut host = Host::answered(options);
    host.answers.detach = false;
    host.attach(CH);
    host.forget();
    host
}

// UTS: realtime/unit/RTL5a/detach-initialized-noop-0
#[test]
fn rtl5a_detach_when_initialized_does_nothing() {
    let mut host = Host::answered(options());
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    assert_eq!((host.sent(), host.channel_events(CH)), (vec![], vec![]));
}

// UTS: realtime/unit/RTL5a/detach-already-detached-noop-1
#[test]
fn rtl5a_detach_when_detached_does_nothing() {
    let mut host = attached_host(options());
    host.answers.detach = true;
    host.detach(CH);
    assert_eq!(host.sent().len(), 1);
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL5i/detach-while-detaching-0
#[test]
fn rtl5i_detach_while_detaching_waits_for_the_same_answer() {
    let mut host = attached_host(options());
    let first = host.detach(CH);
    let second = host.detach(CH);
    assert!(host.is_pending(first) && host.is_pending(second));
    host.recv(detached(CH, None));
    host.ok(first);
    host.ok(second);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.sent().len(), 1);
}

// UTS: realtime/unit/RTL5i/detach-while-attaching-1
#[test]
fn rtl5i_detach_while_attaching_waits_and_then_detaches() {
    let mut host = Host::unanswered(options());
    host.answers.detach = true;
    let attach = host.attach(CH);
    let detach = host.detach(CH);
    assert!(host.is_pending(detach));
    host.recv(attached(CH, Flags::empty()));
    host.ok(attach);
    host.ok(detach);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach, Action::Detach]);
}

// UTS: realtime/unit/RTL5b/detach-failed-errors-0
#[test]
fn rtl5b_detach_of_a_failed_channel_fails() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    let op = host.detach(CH);
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
}

// UTS: realtime/unit/RTL5j/detach-suspended-to-detached-0
#[test]
fn rtl5j_a_suspended_channel_is_detached_at_once() {
    let mut host = Host::unanswered(quick());
    host.attach(CH);
    host.advance(100);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.forget();
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.sent(), []);
    host.advance(60_000);
    assert_eq!(host.sent(), [], "no retry");
}

// UTS: realtime/unit/RTL5l/detach-not-connected-immediate-0
#[test]
fn rtl5l_an_attaching_channel_is_detached_at_once_while_connecting() {
    let mut host = Host::new(options());
    host.input(Input::Connect);
    let attach = host.attach(CH);
    let op = host.detach(CH);
    host.ok(op);
    host.err(attach);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    host.accept("conn-1", "key-1");
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL5l/detach-attached-when-disconnected-1
#[test]
fn rtl5l_an_attached_channel_is_detached_at_once_while_disconnected() {
    let mut host = attached_host(options());
    host.unreachable = true;
    host.lose();
    assert_eq!(host.state(), ConnectionState::Disconnected);
    let op = host.detach(CH);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL5d/normal-detach-flow-0
#[test]
fn rtl5d_detach_sends_detach_and_is_detaching_until_answered() {
    let mut host = attached_host(options());
    let op = host.detach(CH);
    assert_eq!(host.channel_state(CH), ChannelState::Detaching);
    let frame = host.sent_one();
    assert_eq!((frame.action, frame.channel.as_deref()), (Action::Detach, Some(CH)));
    assert!(host.is_pending(op));
    host.recv(detached(CH, None));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
}

// UTS: realtime/unit/RTL5f/timeout-returns-previous-state-0
#[test]
fn rtl5f_a_detach_without_answer_returns_to_the_state_before() {
    let mut host = attached_host(quick());
    let op = host.detach(CH);
    host.advance(99);
    assert!(host.is_pending(op));
    host.advance(1);
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTL5k/attached-while-detaching-0
#[test]
fn rtl5k_attached_while_detaching_sends_another_detach() {
    let mut host = attached_host(options());
    let op = host.detach(CH);
    host.recv(attached(CH, Flags::empty()));
    assert!(host.is_pending(op));
    assert_eq!(host.channel_state(CH), ChannelState::Detaching);
    host.recv(detached(CH, None));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(actions_of(&host.sent()), [Action::Detach, Action::Detach]);
}

// UTS: realtime/unit/RTL5k/attached-while-detached-1
#[test]
fn rtl5k_attached_while_detached_sends_detach() {
    let mut host = attached_host(options());
    host.detach(CH);
    host.recv(detached(CH, None));
    host.forget();
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(actions_of(&host.sent()), [Action::Detach]);
    assert_eq!(host.channel_state(CH), ChannelState::Detaching);
    host.recv(detached(CH, None));
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
}

// UTS: realtime/unit/RTL5/detach-state-change-events-0
#[test]
fn rtl5_detaching_emits_an_event_for_each_state() {
    let mut host = attached_host(options());
    host.detach(CH);
    host.recv(detached(CH, None));
    let events = host.channel_events(CH);
    let path: Vec<_> = events.iter().map(|e| (e.previous, e.current, e.event)).collect();
    assert_eq!(
        path,
        [
            (
                ChannelState::Attached,
                ChannelState::Detaching,
                ChannelEvent::State(ChannelState::Detaching)
            ),
            (
                ChannelState::Detaching,
                ChannelState::Detached,
                ChannelEvent::State(ChannelState::Detached)
            ),
        ]
    );
}
