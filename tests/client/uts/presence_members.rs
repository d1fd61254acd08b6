//! Getting members and subscribing to them: `presence/realtime_presence_get.md`,
//! `presence/realtime_presence_subscribe.md`.

use crate::driven::*;
use crate::frames::*;
use crate::host::*;
use presence_proto::SubscriptionId;
use presence_proto::client::{ChannelOptions, ChannelState, GetParams, Input};
use presence_proto::wire::PresenceAction::{Enter, Leave, Present, Update};
use presence_proto::wire::{Flags, PresenceMessage, ProtocolMessage};

/// An attached host that waits for a sync.
fn promised() -> Host {
    let mut host = Host::answered(options());
    host.answers.attach = Some(Flags::HAS_PRESENCE);
    host.attach(CH);
    host
}

fn attached_host() -> Host {
    let mut host = Host::answered(options());
    host.attach(CH);
    host
}

fn get_of(
    host: &mut Host,
    client_id: Option<&str>,
    connection_id: Option<&str>,
) -> Vec<PresenceMessage> {
    let mut params = GetParams::default();
    params.client_id = client_id.map(Into::into);
    params.connection_id = connection_id.map(Into::into);
    let op = host.op(|op| Input::get_with(op, CH, params));
    host.members(op)
}

// UTS: realtime/unit/RTP11a/get-returns-members-single-sync-0
#[test]
fn rtp11a_get_waits_for_the_sync() {
    let mut host = promised();
    let op = host.get();
    assert!(host.is_pending(op));
    host.recv(sync("seq1:", vec![present("alice", "c1:0:0"), present("bob", "c2:0:0")]));
    let members = host.members(op);
    assert_eq!(names(&members), ["alice", "bob"]);
    assert_eq!(actions(&members), [Present, Present]);
}

// UTS: realtime/unit/RTP11a/get-waits-for-multi-sync-1
#[test]
fn rtp11a_get_waits_for_the_last_page() {
    let mut host = promised();
    let op = host.get();
    host.recv(sync("seq1:cursor1", vec![present("alice", "c1:0:0")]));
    assert!(host.is_pending(op));
    host.recv(sync("seq1:", vec![present("bob", "c2:0:0")]));
    assert_eq!(names(&host.members(op)), ["alice", "bob"]);
}

// UTS: realtime/unit/RTP11c1/get-no-wait-returns-immediately-0
#[test]
fn rtp11c1_get_can_return_before_the_sync() {
    let mut host = promised();
    host.recv(sync("seq1:cursor1", vec![present("alice", "c1:0:0")]));
    assert_eq!(names(&host.members_now()), ["alice"]);
}

// UTS: realtime/unit/RTP11c2/get-filtered-by-clientid-0
#[test]
fn rtp11c2_get_of_one_client_id() {
    let mut host = promised();
    let members =
        vec![present("alice", "c1:0:0"), present("bob", "c2:0:0"), present("alice", "c3:0:0")];
    host.recv(sync("seq1:", members));
    let found = get_of(&mut host, Some("alice"), None);
    assert_eq!(names(&found), ["alice", "alice"]);
    assert_eq!(get_of(&mut host, Some("alice"), Some("c3")).len(), 1);
    assert_eq!(get_of(&mut host, Some("carol"), None), []);
}

// UTS: realtime/unit/RTP11c3/get-filtered-by-connectionid-0
#[test]
fn rtp11c3_get_of_one_connection() {
    let mut host = promised();
    let members =
        vec![present("alice", "c1:0:0"), present("bob", "c2:0:0"), present("carol", "c1:0:1")];
    host.recv(sync("seq1:", members));
    assert_eq!(names(&get_of(&mut host, None, Some("c1"))), ["alice", "carol"]);
}

// RTP11b is RTP11e and RTL33b in newer versions.
// UTS: realtime/unit/RTP11b/get-implicitly-attaches-0
#[test]
fn rtp11e_get_attaches_an_initialized_channel() {
    let mut host = Host::answered(options());
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    assert_eq!(host.members_now(), []);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
}

fn suspended_with_alice() -> Host {
    let mut host = promised();
    host.recv(sync("seq1:", vec![present("alice", "c1:0:0")]));
    host.suspend();
    assert_eq!(host.channel_state(CH), ChannelState::Suspended);
    host
}

// UTS: realtime/unit/RTP11d/get-suspended-errors-default-0
#[test]
fn rtp11d_get_of_a_suspended_channel_fails_with_91005() {
    let mut host = suspended_with_alice();
    let op = host.get();
    assert_eq!(host.err(op).code, 91005);
}

// UTS: realtime/unit/RTP11d/get-suspended-no-wait-returns-1
#[test]
fn rtp11d_get_of_a_suspended_channel_without_waiting_returns_the_known_members() {
    let mut host = suspended_with_alice();
    assert_eq!(names(&host.members_now()), ["alice"]);
}

fn life_of_alice() -> Vec<PresenceMessage> {
    vec![
        item(Enter, "alice", "c1:0:0", 1000),
        item(Update, "alice", "c1:1:0", 2000).with_data("updated"),
        item(Leave, "alice", "c1:2:0", 3000),
    ]
}

// UTS: realtime/unit/RTP6a/subscribe-all-presence-events-0
#[test]
fn rtp6a_a_subscriber_gets_every_event() {
    let mut host = Host::answered(options());
    host.subscribe(1, &[]);
    for item in life_of_alice() {
        host.recv(event(item));
    }
    let events = host.presence_events();
    assert_eq!(actions(&events), [Enter, Update, Leave]);
    assert_eq!(names(&events), ["alice"; 3]);
    assert_eq!(text(&events[1]), Some("updated"));
}

// One output serves all subscriptions, and lists those that match.
// UTS: realtime/unit/RTP6b/subscribe-filtered-by-action-0
#[test]
fn rtp6b_a_subscription_filters_by_action() {
    let mut host = attached_host();
    host.subscribe(1, &[Enter]);
    host.subscribe(2, &[Leave]);
    host.recv(ProtocolMessage::presence(CH, life_of_alice()));
    assert_eq!(actions(&host.presence_events()), [Enter, Leave]);
}

// UTS: realtime/unit/RTP6b/subscribe-filtered-multiple-actions-1
#[test]
fn rtp6b_a_subscription_may_have_several_actions() {
    let mut host = attached_host();
    host.subscribe(1, &[Enter, Leave]);
    host.recv(ProtocolMessage::presence(CH, life_of_alice()));
    assert_eq!(actions(&host.presence_events()), [Enter, Leave]);
}

// UTS: realtime/unit/RTP6d/subscribe-implicitly-attaches-0
#[test]
fn rtp6d_subscribing_attaches_the_channel() {
    let mut host = Host::answered(options());
    let op = host.subscribe(1, &[]);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Attached);
    assert_eq!(host.sent().len(), 1);
}

// UTS: realtime/unit/RTP6e/subscribe-no-attach-option-0
#[test]
fn rtp6e_subscribing_does_not_attach_if_the_options_forbid_it() {
    let mut host = Host::answered(options());
    let mut options = ChannelOptions::default();
    options.attach_on_subscribe = false;
    host.op(|op| Input::set_options(op, CH, options));
    let op = host.subscribe(1, &[]);
    host.ok(op);
    assert_eq!(host.channel_state(CH), ChannelState::Initialized);
    assert_eq!(host.sent(), []);
}

fn unsubscribe(host: &mut Host, subscription: Option<u64>) {
    host.input(Input::unsubscribe(CH, subscription.map(SubscriptionId)));
}

// UTS: realtime/unit/RTP7c/unsubscribe-all-listeners-0
#[test]
fn rtp7c_unsubscribing_all() {
    let mut host = attached_host();
    host.subscribe(1, &[]);
    host.subscribe(2, &[]);
    host.recv(event(item(Enter, "alice", "c1:0:0", 1000)));
    assert_eq!(host.presence_events().len(), 1, "once for both");
    unsubscribe(&mut host, None);
    host.recv(event(item(Enter, "bob", "c2:0:0", 2000)));
    assert_eq!(host.presence_events(), []);
}

// UTS: realtime/unit/RTP7a/unsubscribe-specific-listener-0
#[test]
fn rtp7a_unsubscribing_one_keeps_the_others() {
    let mut host = attached_host();
    host.subscribe(1, &[Enter]);
    host.subscribe(2, &[Leave]);
    unsubscribe(&mut host, Some(1));
    host.recv(ProtocolMessage::presence(CH, life_of_alice()));
    assert_eq!(actions(&host.presence_events()), [Leave]);
}

// A subscription is replaced by one with fewer actions.
// UTS: realtime/unit/RTP7b/unsubscribe-for-specific-action-0
#[test]
fn rtp7b_a_subscription_can_drop_one_action() {
    let mut host = attached_host();
    host.subscribe(1, &[Enter, Leave]);
    host.subscribe(1, &[Leave]);
    host.recv(ProtocolMessage::presence(CH, life_of_alice()));
    assert_eq!(actions(&host.presence_events()), [Leave]);
}

#[test]
fn rtp6_a_late_subscriber_receives_each_present_member() {
    let mut host = promised();
    host.subscribe(1, &[]);
    host.recv(sync("seq1:", vec![present("alice", "c1:0:0"), present("bob", "c2:0:0")]));
    assert_eq!(host.presence_events_for(1).len(), 2);
    host.subscribe(2, &[Present]);
    let members = host.presence_events_for(2);
    assert_eq!((names(&members), actions(&members)), (vec!["alice", "bob"], vec![Present; 2]));
    assert_eq!(host.presence_events(), [], "other subscriptions receive nothing");
}

// UTS: realtime/unit/RTP6/presence-events-update-map-0
#[test]
fn rtp6_an_event_changes_the_set_of_members() {
    let mut host = attached_host();
    host.subscribe(1, &[]);
    host.recv(event(item(Enter, "alice", "c1:0:0", 1000).with_data("hello")));
    let members = host.members_now();
    assert_eq!((names(&members), actions(&members)), (vec!["alice"], vec![Present]));
    assert_eq!(text(&members[0]), Some("hello"));
}

// UTS: realtime/unit/RTP6/multiple-presence-in-single-message-1
#[test]
fn rtp6_the_items_of_one_frame_are_events_in_order() {
    let mut host = attached_host();
    host.subscribe(1, &[]);
    let people = [("alice", "c1:0:0"), ("bob", "c2:0:0"), ("carol", "c3:0:0")];
    let items = people.map(|(name, id)| item(Enter, name, id, 1000)).to_vec();
    host.recv(ProtocolMessage::presence(CH, items));
    assert_eq!(names(&host.presence_events()), ["alice", "bob", "carol"]);
}
