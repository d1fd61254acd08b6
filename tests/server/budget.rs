//! No call removes more members than the budget allows (rule 5 of the contract), whatever the
//! cause. The budget changes nothing but the time.

use crate::host::{CHANNEL, Host, capability, request};
use crate::outputs::Outputs;
use crate::text::decode;
use presence_proto::server::{
    Capability, Identity, Input, LeaveCause, Operations, ServerEvent, ServerOptions, output,
};
use presence_proto::wire::{Action, PresenceMessage, ProtocolMessage};
use presence_proto::{SmolStr, TransportId};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

const BUDGET: usize = 10;
const MEMBERS: usize = 35;

fn with_budget(budget: usize) -> ServerOptions {
    let mut config = ServerOptions::default();
    config.budget = budget;
    config
}

/// A channel with a watcher and one connection that has all members.
fn crowd() -> (Host, u64, u64) {
    let mut host = Host::with(with_budget(BUDGET));
    let watcher = host.join("watcher");
    let many = host.join("*");
    enter(&mut host, many, 0);
    (host, watcher, many)
}

fn enter(host: &mut Host, many: u64, serial: i64) -> Outputs {
    let items: Vec<_> =
        (0..MEMBERS).map(|n| json!({"action": 2, "clientId": format!("c{n}")})).collect();
    let frame = json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": items});
    host.recv(many, frame)
}

/// The calls of an input: itself, and the ticks that are due at once.
fn calls(host: &mut Host, input: Input) -> Vec<Outputs> {
    let mut calls = vec![host.call(input)];
    while host.next_deadline().is_some_and(|at| at <= host.time) {
        calls.push(host.call(Input::Tick));
    }
    calls
}

/// All members leave for this cause, spread over calls, and the watcher receives the leaves.
#[track_caller]
fn all_leave(calls: &[Outputs], watcher: u64, cause: LeaveCause) {
    let left: Vec<usize> = calls.iter().map(|outputs| outputs.leave_causes().len()).collect();
    assert!(left.iter().all(|left| *left <= BUDGET), "{left:?}");
    let causes: Vec<LeaveCause> = calls.iter().flat_map(Outputs::leave_causes).collect();
    assert_eq!(causes, [cause; MEMBERS]);
    let told: usize = calls.iter().map(|outputs| outputs.events_of(watcher).len()).sum();
    assert_eq!(told, MEMBERS);
}

/// An answer comes with the last leave, not before.
#[track_caller]
fn answered_last(calls: &[Outputs], to: u64, action: Action) {
    let last_leave = calls.iter().rposition(|outputs| !outputs.leave_causes().is_empty());
    let answers: Vec<usize> =
        (0..calls.len()).filter(|call| !calls[*call].frames_of(to, action).is_empty()).collect();
    assert_eq!(answers, [last_leave.expect("leaves")], "{action:?}");
}

fn received(transport: u64, frame: serde_json::Value) -> Input {
    Input::received(TransportId(transport), decode(&frame))
}

#[test]
fn rtn12a_closed_is_sent_when_the_members_have_left() {
    let (mut host, watcher, many) = crowd();
    let calls = calls(&mut host, received(many, json!({"action": 7})));
    all_leave(&calls, watcher, LeaveCause::Closed);
    answered_last(&calls, many, Action::Closed);
    assert_eq!(calls.iter().flat_map(|outputs| outputs.closed.clone()).collect::<Vec<_>>(), [many]);
    host.end();
}

#[test]
fn rtl5_detached_is_sent_when_the_members_have_left() {
    let (mut host, watcher, many) = crowd();
    let calls = calls(&mut host, received(many, json!({"action": 12, "channel": CHANNEL})));
    all_leave(&calls, watcher, LeaveCause::Detached);
    answered_last(&calls, many, Action::Detached);
    host.end();
}

#[test]
fn rtl5l_a_new_attach_is_answered_when_the_old_members_have_left() {
    let (mut host, watcher, many) = crowd();
    host.lose(many);
    let (again, _) = host.resume("*", many);
    let calls = calls(&mut host, received(again, json!({"action": 10, "channel": CHANNEL})));
    all_leave(&calls, watcher, LeaveCause::Detached);
    answered_last(&calls, again, Action::Attached);
    host.end();
}

#[test]
fn an_attach_without_the_mode_presence_is_answered_when_the_members_have_left() {
    let (mut host, watcher, many) = crowd();
    let frame = json!({"action": 10, "channel": CHANNEL, "flags": 1 << 19});
    let calls = calls(&mut host, received(many, frame));
    all_leave(&calls, watcher, LeaveCause::RightLost);
    answered_last(&calls, many, Action::Attached);
    host.end();
}

#[test]
fn rtl14_a_refused_attach_is_answered_when_the_members_have_left() {
    let (mut host, watcher, many) = crowd();
    let params = json!({"x": "y".repeat(5_000)});
    let frame = json!({"action": 10, "channel": CHANNEL, "params": params});
    let calls = calls(&mut host, received(many, frame));
    all_leave(&calls, watcher, LeaveCause::RightLost);
    answered_last(&calls, many, Action::Error);
    host.end();
}

#[test]
fn rtc8a1_losing_a_right_removes_members_within_the_budget() {
    for (left, action) in
        [(Operations::SUBSCRIBE, Action::Attached), (Operations::HISTORY, Action::Error)]
    {
        let (mut host, watcher, many) = crowd();
        let input =
            Input::authorized(TransportId(many), Identity::Any, Arc::new(capability(left)), None);
        let calls = calls(&mut host, input);
        assert_eq!(calls[0].frames_of(many, Action::Connected).len(), 1);
        all_leave(&calls, watcher, LeaveCause::RightLost);
        answered_last(&calls, many, action);
        host.end();
    }
}

#[test]
fn losing_a_right_removes_members_within_the_budget_when_the_transport_is_lost_again() {
    let (mut host, watcher, many) = crowd();
    host.lose(many);
    let mut less = request("*");
    less.resume = Some(host.key(many).into());
    less.capability = Arc::new(capability(Operations::SUBSCRIBE));
    let transport = TransportId(9);
    let first = host.call(Input::opened(transport, less));
    let mut all = vec![first];
    all.extend(calls(&mut host, Input::closed(transport)));
    all_leave(&all, watcher, LeaveCause::RightLost);
}

#[test]
fn a_kick_removes_members_within_the_budget() {
    let (host, watcher, many) = crowd();
    let connection_id: SmolStr = host.id(many).into();
    for connection_id in [None, Some(connection_id)] {
        let mut host = host.clone();
        let kick = Input::kick(CHANNEL, None, connection_id);
        let calls = calls(&mut host, kick);
        all_leave(&calls, watcher, LeaveCause::Kicked);
        host.end();
    }
}

#[test]
fn a_kick_of_a_client_id_removes_its_members_within_the_budget() {
    let mut host = Host::with(with_budget(BUDGET));
    let watcher = host.join("watcher");
    for _ in 0..MEMBERS {
        let transport = host.join("same");
        host.enter(transport, 0, "");
    }
    host.enter(watcher, 0, "stays");
    let kick = Input::kick(CHANNEL, Some("same".into()), None);
    let calls = calls(&mut host, kick);
    all_leave(&calls, watcher, LeaveCause::Kicked);
    assert_eq!(host.members(), ["watcher=stays"]);
    host.end();
}

#[test]
fn a_kick_does_not_remove_members_that_enter_after_it() {
    let (mut host, watcher, many) = crowd();
    let kick = Input::kick(CHANNEL, None, None);
    let first = host.call(kick);
    assert_eq!(first.leave_causes().len(), BUDGET);
    // The kick is not finished. An enter waits until it is.
    let again = host.call(received(
        many,
        json!({"action": 14, "channel": CHANNEL, "msgSerial": 1,
            "presence": [{"action": 2, "clientId": "c0"}, {"action": 4, "clientId": "c34"}]}),
    ));
    assert_eq!(again.frames_of(many, Action::Ack).len(), 0);
    let rest = host.input(Input::Tick);
    assert_eq!(rest.frames_of(many, Action::Ack).len(), 1);
    assert_eq!(host.members(), ["c0", "c34"]);
    let told =
        [first, again, rest].iter().map(|outputs| outputs.events_of(watcher).len()).sum::<usize>();
    assert_eq!(told, MEMBERS + 2);
    host.end();
}

#[test]
fn an_ended_grace_period_removes_members_within_the_budget_before_a_resume() {
    let (mut host, watcher, many) = crowd();
    host.lose(many);
    host.time += 15_000;
    let transport = TransportId(9);
    let mut request = request("*");
    request.resume = Some(host.key(many).into());
    let mut all = vec![host.call(Input::opened(transport, request))];
    assert_eq!(all[0].frames_of(9, Action::Connected).len(), 1);
    let serial = "f".repeat(16);
    let attach = json!({"action": 10, "channel": CHANNEL, "channelSerial": serial});
    all.extend(calls(&mut host, received(9, attach)));
    all_leave(&all, watcher, LeaveCause::GraceEnded);
    answered_last(&all, 9, Action::Attached);
    host.end();
}

#[test]
fn rtn15c7_an_expired_connection_ends_within_the_budget() {
    let (mut host, watcher, many) = crowd();
    host.lose(many);
    host.time += 120_000;
    let mut request = request("*");
    request.resume = Some(host.key(many).into());
    let all = calls(&mut host, Input::opened(TransportId(9), request));
    assert_eq!(all[0].error_codes(9), [80008]);
    // The watcher has been silent for too long.
    let left: Vec<usize> = all.iter().map(|outputs| outputs.leave_causes().len()).collect();
    assert!(left.iter().all(|left| *left <= BUDGET), "{left:?}");
    assert_eq!((left.iter().sum::<usize>(), host.members().len()), (MEMBERS, 0));
    let _ = watcher;
    host.end();
}

#[test]
fn rtn15c7_a_closing_connection_is_not_resumed() {
    let (mut host, watcher, many) = crowd();
    let key = host.key(many).to_owned();
    let mut all = vec![host.call(received(many, json!({"action": 7})))];
    let mut request = request("*");
    request.resume = Some(key.into());
    all.extend(calls(&mut host, Input::opened(TransportId(9), request)));
    assert_eq!(all[1].error_codes(9), [80008]);
    assert_ne!(host.id(9), host.id(many));
    all_leave(&all, watcher, LeaveCause::Closed);
    answered_last(&all, many, Action::Closed);
    host.end();
}

#[test]
fn members_leave_when_the_transport_is_lost_during_a_request() {
    for (frame, cause) in [
        (json!({"action": 7}), LeaveCause::Closed),
        (json!({"action": 12, "channel": CHANNEL}), LeaveCause::Detached),
    ] {
        let (mut host, watcher, many) = crowd();
        let mut all = vec![host.call(received(many, frame))];
        all.extend(calls(&mut host, Input::closed(TransportId(many))));
        all_leave(&all, watcher, cause);
        assert!(
            all[1..]
                .iter()
                .all(|outputs| outputs.frames(many).is_empty() && outputs.closed.is_empty())
        );
        host.end();
    }
}

#[test]
fn rtn12a_a_waiting_close_takes_effect_when_the_transport_is_lost() {
    let (mut host, watcher, many) = crowd();
    host.attach(many, "other");
    host.recv(
        many,
        json!({"action": 14, "channel": "other", "msgSerial": 1,
            "presence": [{"action": 2, "clientId": "c"}]}),
    );
    host.call(received(many, json!({"action": 12, "channel": CHANNEL})));
    host.call(received(many, json!({"action": 7})));
    host.lose(many);
    assert_eq!((host.members().len(), host.members_of("other").len()), (0, 0));
    let _ = watcher;
    host.end();
}

#[test]
fn frames_after_a_waiting_request_are_answered_in_order() {
    let (mut host, watcher, many) = crowd();
    let mut all = vec![host.call(received(many, json!({"action": 12, "channel": CHANNEL})))];
    // Without this the attach would be answered before the detach, and undone by its answer.
    all.push(host.call(received(many, json!({"action": 10, "channel": CHANNEL}))));
    let enter = json!({"action": 14, "channel": CHANNEL, "msgSerial": 1,
        "presence": [{"action": 2, "clientId": "c0", "data": "new"}]});
    all.extend(calls(&mut host, received(many, enter)));
    let answers: Vec<Action> =
        all.iter().flat_map(|outputs| outputs.frames(many)).map(|frame| frame.action).collect();
    let wanted = [Action::Detached, Action::Attached, Action::Ack];
    let answers: Vec<Action> =
        answers.into_iter().filter(|action| wanted.contains(action)).collect();
    assert_eq!(answers, wanted);
    assert_eq!(host.members(), ["c0=new"]);
    assert_eq!(
        all.iter().map(|outputs| outputs.events_of(watcher).len()).sum::<usize>(),
        MEMBERS + 1
    );
    host.end();
}

#[test]
fn waiting_frames_are_bounded() {
    let mut config = with_budget(1);
    config.limits.waiting_frames = 3;
    let mut host = Host::with(config);
    let many = host.join("*");
    enter(&mut host, many, 0);
    host.call(received(many, json!({"action": 12, "channel": CHANNEL})));
    let ping = || received(many, json!({"action": 0, "id": "x"}));
    for _ in 0..2 {
        assert_eq!(host.call(ping()).error_codes(many), [0; 0]);
    }
    let outputs = host.call(ping());
    assert_eq!((outputs.error_codes(many), outputs.closed), (vec![42920], vec![many]));
    assert_eq!(host.server.counters().limited, 1);
    host.end();
}

#[test]
fn waiting_frames_are_processed_in_the_call_that_finishes_the_work() {
    let (mut host, _, many) = crowd();
    let attach = json!({"action": 10, "channel": CHANNEL, "channelSerial": "0000000000000001",
        "flags": 1 << 18});
    host.call(received(many, attach));
    for n in 0..2 {
        let outputs = host.call(received(many, json!({"action": 0, "id": n.to_string()})));
        assert_eq!(outputs.frames_of(many, Action::Heartbeat).len(), 0);
    }
    let mut last = Outputs::default();
    while host.next_deadline().is_some_and(|at| at <= host.time) {
        last = host.call(Input::Tick);
    }
    assert_eq!(last.frames_of(many, Action::Attached).len(), 1);
    assert_eq!(last.frames_of(many, Action::Heartbeat).len(), 2);
    host.end();
}

// Apart from the time a small budget makes no difference.

/// An event of one of two connections with many members.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter { who: usize, channel: usize, members: usize },
    Leave { who: usize, channel: usize },
    Attach { who: usize, channel: usize, again: bool },
    Detach { who: usize, channel: usize },
    Close { who: usize },
    Lose { who: usize },
    Rights { who: usize, all: bool },
    Kick { channel: usize, client: Option<usize> },
    Pass { millis: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let (who, channel) = (0..2usize, 0..2usize);
    let place = (who.clone(), channel.clone());
    prop_oneof![
        4 => (place.clone(), 1..6usize)
            .prop_map(|((who, channel), members)| Step::Enter { who, channel, members }),
        1 => place.clone().prop_map(|(who, channel)| Step::Leave { who, channel }),
        3 => (place.clone(), any::<bool>())
            .prop_map(|((who, channel), again)| Step::Attach { who, channel, again }),
        1 => place.prop_map(|(who, channel)| Step::Detach { who, channel }),
        1 => who.clone().prop_map(|who| Step::Close { who }),
        2 => who.clone().prop_map(|who| Step::Lose { who }),
        1 => (who, any::<bool>()).prop_map(|(who, all)| Step::Rights { who, all }),
        1 => (channel, proptest::option::of(0..6usize))
            .prop_map(|(channel, client)| Step::Kick { channel, client }),
        1 => (0..20_000u64).prop_map(|millis| Step::Pass { millis }),
    ]
}

/// Two connections, each of which is opened or resumed when it is needed.
struct Play {
    host: Host,
    transports: [Option<u64>; 2],
    last: [Option<u64>; 2],
    serials: [i64; 2],
    /// Events and replies to each connection, in order.
    story: Vec<String>,
}

impl Play {
    fn of(budget: usize, steps: &[Step]) -> Self {
        let mut play = Self {
            host: Host::with(with_budget(budget)),
            transports: [None; 2],
            last: [None; 2],
            serials: [0; 2],
            story: Vec::new(),
        };
        steps.iter().for_each(|step| play.step(*step));
        play
    }

    fn transport(&mut self, who: usize) -> u64 {
        if let Some(transport) = self.transports[who] {
            return transport;
        }
        let mut request = request("*");
        request.resume = self.last[who].map(|old| self.host.key(old).into());
        let (transport, outputs) = self.host.open_for(request);
        if self.last[who].is_none_or(|old| self.host.id(old) != self.host.id(transport)) {
            self.serials[who] = 0;
        }
        (self.transports[who], self.last[who]) = (Some(transport), Some(transport));
        self.note(outputs);
        transport
    }

    fn step(&mut self, step: Step) {
        let name = |channel: usize| ["one", "two"][channel];
        let outputs = match step {
            Step::Enter { who, channel, members } => {
                let items: Vec<_> = (0..members)
                    .map(|n| json!({"action": 2, "clientId": format!("c{n}")}))
                    .collect();
                self.presence(who, name(channel), json!(items))
            }
            Step::Leave { who, channel } => {
                self.presence(who, name(channel), json!([{"action": 3, "clientId": "c0"}]))
            }
            Step::Attach { who, channel, again } => {
                let transport = self.transport(who);
                if again {
                    self.host.attach(transport, name(channel))
                } else {
                    self.host.attach_again(transport, name(channel), "0000000000000000")
                }
            }
            Step::Detach { who, channel } => {
                let transport = self.transport(who);
                self.host.recv(transport, json!({"action": 12, "channel": name(channel)}))
            }
            Step::Close { who } => {
                let transport = self.transport(who);
                self.transports[who] = None;
                self.host.recv(transport, json!({"action": 7}))
            }
            Step::Lose { who } => {
                let Some(transport) = self.transports[who].take() else { return };
                self.host.lose(transport)
            }
            Step::Rights { who, all } => {
                let transport = self.transport(who);
                let less = || Capability::none().allow("one", Operations::SUBSCRIBE);
                self.host.authorized(transport, if all { Capability::all() } else { less() })
            }
            Step::Kick { channel, client } => {
                let client_id = client.map(|n| format!("c{n}").into());
                self.host.input(Input::kick(name(channel), client_id, None))
            }
            Step::Pass { millis } => {
                let open: Vec<u64> = self.transports.iter().flatten().copied().collect();
                self.host.advance_alive(millis, &open)
            }
        };
        self.note(outputs);
    }

    fn presence(&mut self, who: usize, channel: &str, items: serde_json::Value) -> Outputs {
        let transport = self.transport(who);
        let serial = self.serials[who];
        self.serials[who] += 1;
        let frame =
            json!({"action": 14, "channel": channel, "msgSerial": serial, "presence": items});
        self.host.recv(transport, frame)
    }

    fn note(&mut self, outputs: Outputs) {
        // Of each member in order. Members of two connections whose graces end at once take turns.
        let mut events = Vec::new();
        for event in &outputs.events {
            let (what, channel, message) = match event {
                ServerEvent::MemberEntered(output::MemberEntered { channel, message, .. }) => {
                    (None, channel, message)
                }
                ServerEvent::MemberUpdated(output::MemberUpdated { channel, message, .. }) => {
                    (None, channel, message)
                }
                ServerEvent::MemberLeft(output::MemberLeft { channel, message, cause, .. }) => {
                    (Some(*cause), channel, message)
                }
                _ => continue,
            };
            let PresenceMessage { client_id, connection_id, .. } = message;
            events.push((
                format!("{channel} {client_id:?} {connection_id:?}"),
                message.action,
                what,
            ));
        }
        events.sort_by(|one, other| one.0.cmp(&other.0));
        self.story.extend(events.iter().map(|event| format!("{event:?}")));
        for who in self.last.into_iter().flatten() {
            let answer = |frame: &&ProtocolMessage| {
                !matches!(frame.action, Action::Presence | Action::Sync | Action::Heartbeat)
            };
            for frame in outputs.frames(who).into_iter().filter(answer) {
                let code = frame.error.as_ref().map(|error| error.code);
                let (action, flags) = (frame.action, frame.flags());
                self.story.push(format!("{who} {action:?} {:?} {flags:?} {code:?}", frame.channel));
            }
        }
        for channel in ["one", "two"] {
            self.story.push(format!("{channel}: {:?}", self.host.members_of(channel)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_small_budget_makes_no_difference(
        steps in proptest::collection::vec(step(), 1..30),
        budget in 1..4usize,
    ) {
        let (small, large) = (Play::of(budget, &steps), Play::of(100_000, &steps));
        prop_assert_eq!(small.story, large.story);
        small.host.end();
    }
}

/// The leave events of an ATTACH without PRESENCE are replies to its connection. Here they are more
/// than a congested connection may have, so they close the transport, and the frame is not done.
#[test]
fn a_frame_that_closes_its_transport_is_not_postponed() {
    let mut options = with_budget(BUDGET);
    options.limits.replies_while_congested = 3;
    let mut host = Host::with(options);
    let watcher = host.join("watcher");
    let many = host.join("*");
    enter(&mut host, many, 0);
    host.congested(many);
    let frame = json!({"action": 10, "channel": CHANNEL, "channelSerial": "0000000000000001",
        "flags": 1 << 18});
    let frame = decode(&frame);
    let calls = calls(&mut host, Input::received(TransportId(many), frame));
    assert_eq!(calls.iter().flat_map(|outputs| outputs.closed.clone()).collect::<Vec<_>>(), [many]);
    assert_eq!(host.server.counters().internal_errors, 0);
    // It can be resumed, and the frame sent again.
    let (again, _) = host.resume("*", many);
    host.attach(again, CHANNEL);
    host.advance_alive(60_000, &[watcher, again]);
    host.end();
}
