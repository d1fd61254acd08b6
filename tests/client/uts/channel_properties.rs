//! Properties and events of a channel: `channels/channel_additional_attached.md`,
//! `channels/channel_attributes.md`, `channels/channel_properties.md`,
//! `channels/channel_state_events.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use core::time::Duration;
use presence_proto::client::{ChannelEvent, ChannelState};
use presence_proto::wire::{Action, ErrorInfo, Flags, ProtocolMessage};

fn attached_with(serial: &str, flags: Flags) -> ProtocolMessage {
    let mut frame = attached(CH, flags);
    frame.channel_serial = Some(serial.into());
    frame
}

/// A host that has attached with a channel serial. The far end answers nothing.
fn attached_host() -> Host {
    let mut options = options();
    options.realtime_request_timeout = Duration::from_millis(100);
    let mut host = Host::unanswered(options);
    host.attach(CH);
    host.recv(attached_with("serial-1", Flags::empty()));
    host.forget();
    host
}

fn failure(code: u32) -> ErrorInfo {
    ErrorInfo::new(code, 500, "a failure")
}

// UTS: realtime/unit/RTL12/update-emits-with-error-0
#[test]
fn rtl12_a_further_attached_is_an_update_with_its_error() {
    let mut host = attached_host();
    host.recv(attached(CH, Flags::empty()).with_error(failure(50000)));
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, ChannelEvent::Update);
    assert_eq!(
        (events[0].previous, events[0].current),
        (ChannelState::Attached, ChannelState::Attached)
    );
    assert!(!events[0].resumed);
    assert_eq!(events[0].reason, Some(failure(50000)));
}

// UTS: realtime/unit/RTL12/resumed-no-update-1
#[test]
fn rtl12_a_further_attached_that_is_resumed_is_no_event() {
    let mut host = attached_host();
    host.recv(attached(CH, Flags::RESUMED));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.channel_events(CH), []);
}

// UTS: realtime/unit/RTL12/no-error-null-reason-2
#[test]
fn rtl12_a_further_attached_without_error_has_no_reason() {
    let mut host = attached_host();
    host.recv(attached(CH, Flags::empty()));
    let events = host.channel_events(CH);
    assert_eq!((events.len(), events[0].resumed, &events[0].reason), (1, false, &None));
}

// UTS: realtime/unit/RTL23/name-attribute-0
#[test]
fn rtl23_a_channel_has_its_name() {
    let mut host = Host::answered(options());
    for name in ["my-channel", "namespace:channel-name"] {
        host.attach(name);
        assert_eq!(host.client.channel(name).unwrap().name(), name);
    }
}

// UTS: realtime/unit/RTL24/error-reason-channel-error-0
#[test]
fn rtl24_the_error_reason_is_that_of_an_error() {
    let mut host = attached_host();
    assert_eq!(host.channel_error(CH), None);
    host.recv(channel_error(CH, failure(90001)));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.channel_error(CH), Some(failure(90001)));
}

// UTS: realtime/unit/RTL24/error-reason-attach-failure-1
#[test]
fn rtl24_the_error_reason_is_that_of_a_refused_attach() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    host.recv(detached(CH, Some(refused())));
    host.err(op);
    assert_eq!(host.channel_error(CH), Some(refused()));
}

// UTS: realtime/unit/RTL4c/error-cleared-on-attach-0
#[test]
fn rtl4c_attaching_clears_the_error_reason_of_a_refusal() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(detached(CH, Some(failure(50000))));
    assert_eq!(host.channel_error(CH).unwrap().code, 50000);
    let op = host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(host.channel_error(CH), None);
}

// UTS: realtime/unit/RTL4c/error-cleared-preserved-detach-1
#[test]
fn rtl4c_a_cleared_error_reason_stays_clear_when_detached() {
    let mut host = attached_host();
    host.recv(channel_error(CH, failure(90002)));
    assert_eq!(host.channel_error(CH).unwrap().code, 90002);
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_error(CH), None);
    host.detach(CH);
    host.recv(detached(CH, None));
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.channel_error(CH), None);
}

// UTS: realtime/unit/RTL15c/attach-serial-from-attached-0
#[test]
fn rtl15c_the_attach_serial_is_that_of_each_attach() {
    let mut host = Host::unanswered(options());
    assert_eq!(host.attach_serial(CH), None);
    host.attach(CH);
    host.recv(attached_with("serial-1", Flags::empty()));
    assert_eq!(host.attach_serial(CH).as_deref(), Some("serial-1"));
    host.detach(CH);
    host.recv(detached(CH, None));
    host.attach(CH);
    host.recv(attached_with("serial-2", Flags::empty()));
    assert_eq!(host.attach_serial(CH).as_deref(), Some("serial-2"));
}

// UTS: realtime/unit/RTL15c/attach-serial-server-reattach-1
#[test]
fn rtl15c_a_further_attached_changes_the_attach_serial() {
    let mut host = attached_host();
    host.recv(attached_with("serial-2", Flags::empty()));
    assert_eq!(host.attach_serial(CH).as_deref(), Some("serial-2"));
}

// UTS: realtime/unit/RTL15c/attach-serial-not-updated-resumed-2
#[test]
fn rtl15c_a_further_attached_that_is_resumed_keeps_the_attach_serial() {
    let mut host = attached_host();
    host.recv(attached_with("serial-2", Flags::RESUMED));
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-2"));
    assert_eq!(host.attach_serial(CH).as_deref(), Some("serial-1"));
}

// UTS: realtime/unit/RTL15b/channel-serial-from-attached-0
#[test]
fn rtl15b_the_channel_serial_comes_from_attached() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    assert_eq!(host.channel_serial(CH), None);
    host.recv(attached_with("serial-1", Flags::empty()));
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-1"));
}

// UTS: realtime/unit/RTL15b/channel-serial-from-messages-1
#[test]
fn rtl15b_the_channel_serial_comes_from_messages_and_presence() {
    let mut host = attached_host();
    for (action, serial) in [(Action::Message, "serial-2"), (Action::Presence, "serial-3")] {
        let mut frame = ProtocolMessage::on_channel(action, CH);
        frame.channel_serial = Some(serial.into());
        host.recv(frame);
        assert_eq!(host.channel_serial(CH).as_deref(), Some(serial));
    }
}

// UTS: realtime/unit/RTL15b/serial-not-updated-empty-2
#[test]
fn rtl15b_a_frame_without_a_channel_serial_keeps_it() {
    let mut host = attached_host();
    host.recv(ProtocolMessage::on_channel(Action::Message, CH));
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-1"));
}

// UTS: realtime/unit/RTL15b/serial-not-updated-irrelevant-3
#[test]
fn rtl15b_the_channel_serial_of_other_frames_does_not_count() {
    let mut host = attached_host();
    let mut page = sync("sync-serial:cursor", vec![]);
    page.channel = Some(CH.into());
    host.recv(page);
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-1"));
    let mut frame = detached(CH, Some(failure(90198)));
    frame.channel_serial = Some("not-this".into());
    host.recv(frame);
    assert_eq!(host.channel_state(CH), ChannelState::Attaching);
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-1"));
    assert_eq!(host.sent_one().channel_serial.as_deref(), Some("serial-1"));
}

// RTL15b2 in newer versions.
// UTS: realtime/unit/RTL15b1/serial-cleared-detached-0
#[test]
fn rtl15b2_the_channel_serial_is_cleared_when_detached() {
    let mut host = attached_host();
    host.detach(CH);
    host.recv(detached(CH, None));
    assert_eq!(host.channel_state(CH), ChannelState::Detached);
    assert_eq!(host.channel_serial(CH), None);
}

// RTL15b2 keeps it, where the older RTL15b1 cleared it.
// UTS: realtime/unit/RTL15b1/serial-cleared-suspended-1
#[test]
fn rtl15b2_the_channel_serial_is_kept_while_suspended() {
    let mut host = attached_host();
    host.recv(detached(CH, Some(failure(90198))));
    host.advance(100);
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    assert_eq!(host.channel_serial(CH).as_deref(), Some("serial-1"));
}

// RTL15b2 in newer versions.
// UTS: realtime/unit/RTL15b1/serial-cleared-failed-2
#[test]
fn rtl15b2_the_channel_serial_is_cleared_when_failed() {
    let mut host = attached_host();
    host.recv(channel_error(CH, refused()));
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.channel_serial(CH), None);
}

// UTS: realtime/unit/RTL2b/channel-state-attribute-0
#[test]
fn rtl2b_a_channel_has_a_state() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    assert_eq!(host.client.channel(CH).unwrap().state(), ChannelState::Attaching);
}

// UTS: realtime/unit/RTL2b/initial-state-initialized-1
#[test]
fn rtl2b_a_new_channel_is_initialized() {
    let mut host = Host::unanswered(options());
    let options = presence_proto::client::ChannelOptions::default();
    host.op(|op| presence_proto::client::Input::set_options(op, CH, options));
    assert_eq!(host.client.channel(CH).unwrap().state(), ChannelState::Initialized);
}

// UTS: realtime/unit/RTL2a/state-change-events-emitted-0
#[test]
fn rtl2a_every_change_of_state_is_an_event() {
    let mut host = Host::answered(options());
    host.attach(CH);
    let events = host.channel_events(CH);
    assert_eq!(
        events.iter().map(|e| (e.previous, e.current)).collect::<Vec<_>>(),
        [
            (ChannelState::Initialized, ChannelState::Attaching),
            (ChannelState::Attaching, ChannelState::Attached)
        ]
    );
}

// UTS: realtime/unit/RTL2d/state-change-object-structure-0
#[test]
fn rtl2d_a_change_names_both_states_and_the_event() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].current, ChannelState::Attaching);
    assert_eq!(events[0].previous, ChannelState::Initialized);
    assert_eq!(events[0].event, ChannelEvent::State(ChannelState::Attaching));
    assert_eq!((&events[0].reason, events[0].resumed), (&None, false));
}

// UTS: realtime/unit/RTL2d/state-change-error-reason-1
#[test]
fn rtl2d_a_change_names_its_reason() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(channel_error(CH, refused()));
    let last = host.channel_events(CH).pop().unwrap();
    assert_eq!((last.current, last.reason), (ChannelState::Failed, Some(refused())));
}

// UTS: realtime/unit/RTL2g/update-event-condition-change-0
#[test]
fn rtl2g_a_change_of_condition_is_an_update() {
    let mut host = attached_host();
    host.recv(attached(CH, Flags::empty()));
    let events = host.channel_events(CH);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, ChannelEvent::Update);
    assert_eq!(
        (events[0].previous, events[0].current, events[0].resumed),
        (ChannelState::Attached, ChannelState::Attached, false)
    );
}

// UTS: realtime/unit/RTL2g/no-duplicate-state-events-1
#[test]
fn rtl2g_a_state_is_not_notified_twice() {
    let mut host = Host::answered(options());
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_path(CH), ["attaching", "attached", "update"]);
}

/// The change to ATTACHED by an ATTACHED with these flags.
fn change_with(flags: Flags) -> presence_proto::client::ChannelStateChange {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(attached(CH, flags));
    let last = host.channel_events(CH).pop().unwrap();
    assert_eq!(last.event, ChannelEvent::State(ChannelState::Attached));
    last
}

// UTS: realtime/unit/RTL2i/has-backlog-flag-true-0
#[test]
fn rtl2i_a_backlog_is_reported() {
    assert!(change_with(Flags::HAS_BACKLOG).has_backlog);
}

// UTS: realtime/unit/RTL2i/has-backlog-flag-false-1
#[test]
fn rtl2i_no_backlog_is_reported_as_none() {
    assert!(!change_with(Flags::HAS_PRESENCE | Flags::RESUMED).has_backlog);
}

// UTS: realtime/unit/RTL2d/resumed-flag-propagated-2
#[test]
fn rtl2f_continuity_is_reported() {
    assert!(change_with(Flags::RESUMED).resumed);
    assert!(!change_with(Flags::HAS_BACKLOG).resumed);
}

// UTS: realtime/unit/RTL24/error-reason-populated-0
#[test]
fn rtl24_the_error_reason_is_that_of_a_failed_attach() {
    let mut host = Host::unanswered(options());
    let op = host.attach(CH);
    host.recv(channel_error(CH, refused()));
    host.err(op);
    assert_eq!(host.channel_state(CH), ChannelState::Failed);
    assert_eq!(host.channel_error(CH), Some(refused()));
}

// UTS: realtime/unit/RTL4c/error-reason-cleared-attach-0
#[test]
fn rtl4c_attaching_clears_the_error_reason_of_a_failure() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(channel_error(CH, refused()));
    assert!(host.channel_error(CH).is_some());
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.channel_error(CH), None);
}
