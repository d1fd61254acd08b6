//! Channels and their options: `channels/channel_options.md`, `channels/channels_collection.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::client::{ChannelOptions, ChannelState, Input};
use presence_proto::wire::{Action, Flags, Modes};

fn set_options(host: &mut Host, channel: &str, options: ChannelOptions) -> presence_proto::OpId {
    host.op(|op| Input::set_options(op, channel, options))
}

fn make(host: &mut Host, channel: &str) {
    let op = set_options(host, channel, ChannelOptions::default());
    host.ok(op);
}

fn release(host: &mut Host, channel: &str) -> presence_proto::OpId {
    host.op(|op| Input::release(op, channel))
}

fn rewind() -> ChannelOptions {
    let mut options = ChannelOptions::default();
    options.params = vec![("rewind".into(), "1".into())];
    options
}

// UTS: realtime/unit/TB2/channel-options-attributes-0
// UTS: realtime/unit/TB4/attach-on-subscribe-default-0
#[test]
fn tb2_the_default_options() {
    let options = ChannelOptions::default();
    assert_eq!((options.params.len(), options.modes), (0, None));
    assert!(options.attach_on_subscribe);
}

// UTS: realtime/unit/TB2c/options-with-params-0
// UTS: realtime/unit/TB2d/options-with-modes-0
// UTS: realtime/unit/RTS3b/options-set-on-new-0
#[test]
fn rts3b_options_of_a_new_channel() {
    let mut host = Host::new(options());
    let mut options = rewind();
    options.modes = Some(Modes::PUBLISH | Modes::SUBSCRIBE);
    let op = set_options(&mut host, CH, options.clone());
    host.ok(op);
    assert_eq!(host.client.channel(CH).unwrap().options(), &options);
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
}

// UTS: realtime/unit/RTL16/set-options-updates-0
#[test]
fn rtl16_options_can_be_replaced() {
    let mut host = Host::new(options());
    make(&mut host, CH);
    let mut options = rewind();
    options.attach_on_subscribe = false;
    let op = set_options(&mut host, CH, options.clone());
    host.ok(op);
    assert_eq!(host.client.channel(CH).unwrap().options(), &options);
}

// The clause requires ATTACH and a pending operation, but no change of state.
// UTS: realtime/unit/RTL16a/triggers-reattach-0
#[test]
fn rtl16a_new_params_of_an_attached_channel_send_attach() {
    let mut host = Host::unanswered(options());
    host.attach(CH);
    host.recv(attached(CH, Flags::empty()));
    host.forget();
    let op = set_options(&mut host, CH, rewind());
    assert!(host.is_pending(op));
    let frame = host.sent_one();
    assert_eq!(frame.action, Action::Attach);
    assert_eq!(frame.params, Some(rewind().params));
    host.recv(attached(CH, Flags::empty()));
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.client.channel(CH).unwrap().options(), &rewind());
}

// UTS: realtime/unit/RTS2/channel-exists-check-0
// UTS: realtime/unit/RTS3a/get-creates-new-channel-0
#[test]
fn rts2_a_channel_exists_once_it_was_named() {
    let mut host = Host::new(options());
    assert!(host.client.channel(CH).is_none());
    make(&mut host, CH);
    assert_eq!(host.client.channel(CH).unwrap().name(), CH);
    assert!(host.client.channel("another").is_none());
}

// UTS: realtime/unit/RTS2/iterate-channels-1
#[test]
fn rts2_the_channels_can_be_listed() {
    let mut host = Host::new(options());
    for name in ["c", "a", "b"] {
        make(&mut host, name);
    }
    let mut names: Vec<_> = host.client.channels().map(|view| view.name().clone()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"]);
}

// UTS: realtime/unit/RTS3a/get-returns-existing-channel-1
#[test]
fn rts3a_one_name_is_one_channel() {
    let mut host = Host::answered(options());
    host.attach(CH);
    make(&mut host, CH);
    assert_eq!(host.client.channels().count(), 1);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

// UTS: realtime/unit/RTS4a/release-removes-channel-0
#[test]
fn rts4a_a_released_channel_is_forgotten() {
    let mut host = Host::new(options());
    make(&mut host, CH);
    let op = release(&mut host, CH);
    host.ok(op);
    assert!(host.client.channel(CH).is_none());
}

// UTS: realtime/unit/RTS4a/release-nonexistent-noop-1
#[test]
fn rts4a_releasing_an_unknown_channel_does_nothing() {
    let mut host = Host::new(options());
    let op = release(&mut host, CH);
    host.ok(op);
    assert!(host.client.channel(CH).is_none());
}

// UTS: realtime/unit/RTS4a/release-detaches-attached-2
#[test]
fn rts4a_a_released_channel_is_detached_first() {
    let mut host = Host::answered(options());
    host.answers.detach = false;
    host.attach(CH);
    host.forget();
    let op = release(&mut host, CH);
    assert!(host.is_pending(op));
    assert_eq!(host.sent_one().action, Action::Detach);
    host.recv(detached(CH, None));
    host.ok(op);
    assert_eq!(host.channel_path(CH), ["detaching", "detached"]);
    assert!(host.client.channel(CH).is_none());
}

// UTS: realtime/unit/RTS3a/get-after-release-new-3
#[test]
fn rts4a_a_released_name_starts_from_scratch() {
    let mut host = Host::answered(options());
    let op = set_options(&mut host, CH, rewind());
    host.ok(op);
    host.attach(CH);
    release(&mut host, CH);
    assert!(host.client.channel(CH).is_none());
    make(&mut host, CH);
    let view = host.client.channel(CH).unwrap();
    assert_eq!(
        (view.state(), view.options()),
        (ChannelState::Initialized, &ChannelOptions::default())
    );
}
