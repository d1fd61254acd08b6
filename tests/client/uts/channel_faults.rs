//! Errors and detachment by the server: `channels/channel_error.md`,
//! `channels/channel_server_initiated_detach.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{ChannelState, ClientOptions, ConnectionState};
use presence_proto::wire::{Action, ErrorInfo, Flags};

fn quick() -> ClientOptions {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_millis(100);
    options.channel_retry_timeout = Duration::from_millis(200);
    options
}

fn gone(code: u32) -> ErrorInfo {
    ErrorInfo::new(code, 500, "detached by the server")
}

/// A host that has attached and whose far end does not answer further ATTACHs.
fn attached_host(options: ClientOptions) -> Host {
    let mut host = Host::unanswered(options);
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    host.forget();
    host
}

// UTS: realtime/unit/RTL14/attached-to-failed-0
#[test]
fn rtl14_an_error_fails_an_attached_channel() {
    let mut host = attached_host(options());
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_error(CH), Some(refused()));
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].previous, events[0].current),
        (ChannelState::Attached, ChannelState::Failed)
    );
    assert_eq!(events[0].reason, Some(refused()));
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTL14/attaching-to-failed-1
#[test]
fn rtl14_an_error_fails_an_attaching_channel_and_the_attach() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.err(op).code, 40160);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.channel_error(CH).unwrap().code, 40160);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTL14/pending-detach-error-2
#[test]
fn rtl14_an_error_fails_a_detaching_channel_and_the_detach() {
    let mut host = attached_host(options());
    let op = host.detach(CH);
    host.recv(channel_error(CH, gone(90198)));
    assert_eq!(host.err(op).code, 90198);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.channel_error(CH).unwrap().code, 90198);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTL14/other-channels-unaffected-3
#[test]
fn rtl14_an_error_leaves_other_channels_alone() {
    let mut host = Host::answered(options());
    host.attach("a");
    host.attach("b");
    host.recv(channel_error("a", refused()));
    assert_eq!(host.channel_state("a"), ChannelState::Failed);
    assert!(host.channel_error("a").is_some());
    assert_eq!(host.channel_state("b"), ChannelState::Attached);
    assert_eq!(host.channel_error("b"), None);
    assert_eq!(host.state(), ConnectionState::Connected);
}

// UTS: realtime/unit/RTL14/cancels-pending-timers-4
#[test]
fn rtl14_an_error_ends_the_retries() {
    let mut host = attached_host(quick());
    host.recv(detached(CH, Some(gone(90198))));
    host.advance(150);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.forget();
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    host.advance(1_000);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.sent(), []);
}

// UTS: realtime/unit/RTL13a/attached-reattach-triggered-0
#[test]
fn rtl13a_detached_while_attached_sends_attach() {
    let mut host = Host::answered(options());
    host.attach(CH);
    host.forget();
    host.recv(detached(CH, Some(gone(90198))));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach]);
    let events = host.channel_events(CH);
    assert_eq!(
        events.iter().map(|e| (e.previous, e.current)).collect::<Vec<_>>(),
        [
            (ChannelState::Attached, ChannelState::Attaching),
            (ChannelState::Attaching, ChannelState::Attached)
        ]
    );
    assert_eq!(events[0].reason, Some(gone(90198)));
}

// UTS: realtime/unit/RTL13a/suspended-reattach-triggered-1
#[test]
fn rtl13a_detached_while_suspended_sends_attach() {
    let mut options = quick();
    options.channel_retry_timeout = Duration::from_secs(60);
    let mut host = attached_host(options);
    host.recv(detached(CH, Some(gone(90198))));
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    host.advance(150);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.recv(detached(CH, Some(gone(90199))));
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(actions_of(&host.sent()), [Action::Attach, Action::Attach]);
}

// UTS: realtime/unit/RTL13b/failed-reattach-suspended-retry-0
#[test]
fn rtl13b_a_failed_reattach_suspends_and_is_retried() {
    let mut host = attached_host(quick());
    host.recv(detached(CH, Some(gone(90198))));
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    host.advance(100);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.answers.attach = Some(Flags::empty());
    host.advance(199);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.advance(1);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent().len(), 2);
    assert_eq!(host.channel_path(CH), ["attaching", "suspended", "attaching", "attached"]);
}

// UTS: realtime/unit/RTL13b/attaching-detached-to-suspended-1
#[test]
fn rtl13b_detached_while_attaching_suspends() {
    let mut host = Host::unanswered(quick());
    let op = host.attach(CH);
    host.forget();
    host.recv(detached(CH, Some(gone(90198))));
    assert_eq!(host.err(op).code, 90198);
    let events = host.channel_events(CH);
    assert_eq!(
        (events[0].previous, events[0].current),
        (ChannelState::Attaching, ChannelState::Suspended)
    );
    assert_eq!(events[0].reason, Some(gone(90198)));
    assert_eq!((events.len(), host.sent()), (1, vec![]));
    host.answers.attach = Some(Flags::empty());
    host.advance(200);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent().len(), 1);
}

// UTS: realtime/unit/RTL13b/repeated-failure-cycle-2
#[test]
fn rtl13b_retries_go_on_and_back_off() {
    let mut host = attached_host(quick());
    host.recv(detached(CH, Some(gone(90198))));
    // RTB1a: 200 ms × 1, 4/3, 5/3, 2, 2, …
    for wait in [200, 267, 334, 400, 400] {
        assert_eq!(host.channel_state(CH), ChannelState::Attaching);
        host.advance(100);
        assert_eq!(host.channel_state(CH), ChannelState::Suspended);
        host.advance(wait);
    }
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent().len(), 6);
    let mut path = ["attaching", "suspended"].repeat(5);
    path.extend(["attaching", "attached"]);
    assert_eq!(host.channel_path(CH), path);
}

// UTS: realtime/unit/RTL13c/retry-cancelled-disconnected-0
#[test]
fn rtl13c_there_is_no_retry_while_not_connected() {
    let mut host = attached_host(quick());
    host.recv(detached(CH, Some(gone(90198))));
    host.advance(150);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host.unreachable = true;
    host.lose();
    host.forget();
    host.advance(5_000);
    assert_ne!(host.state(), ConnectionState::Connected);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    assert_eq!((host.sent(), host.channel_events(CH)), (vec![], vec![]));
}

// UTS: realtime/unit/RTL13a/detaching-not-server-initiated-2
#[test]
fn rtl13_detached_while_detaching_completes_the_detach() {
    let mut host = attached_host(options());
    let op = host.detach(CH);
    host.recv(detached(CH, None));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(actions_of(&host.sent()), [Action::Detach]);
}
