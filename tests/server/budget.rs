//! No call takes out more members than the budget allows (rule 5 of the contract), whatever it is
//! that takes them out; and apart from the time it makes no difference.

use crate::rig::{CHANNEL, Came, Rig, may, request};
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

/// A channel with somebody who watches it and one connection that has all members.
fn crowd() -> (Rig, u64, u64) {
    let mut rig = Rig::with(with_budget(BUDGET));
    let watcher = rig.join("watcher");
    let many = rig.join("*");
    enter(&mut rig, many, 0);
    (rig, watcher, many)
}

fn enter(rig: &mut Rig, many: u64, serial: i64) -> Came {
    let items: Vec<_> =
        (0..MEMBERS).map(|n| json!({"action": 2, "clientId": format!("c{n}")})).collect();
    let frame = json!({"action": 14, "channel": CHANNEL, "msgSerial": serial, "presence": items});
    rig.recv(many, frame)
}

/// The calls that an input takes, itself and what is due at once after it.
fn calls(rig: &mut Rig, input: Input) -> Vec<Came> {
    let mut calls = vec![rig.call(input)];
    while rig.next().is_some_and(|at| at <= rig.time) {
        calls.push(rig.call(Input::Tick));
    }
    calls
}

/// All members leave for this reason, spread over calls, and are told to the watcher.
#[track_caller]
fn all_leave(calls: &[Came], watcher: u64, cause: LeaveCause) {
    let left: Vec<usize> = calls.iter().map(|came| came.causes().len()).collect();
    assert!(left.iter().all(|left| *left <= BUDGET), "{left:?}");
    let causes: Vec<LeaveCause> = calls.iter().flat_map(Came::causes).collect();
    assert_eq!(causes, [cause; MEMBERS]);
    let told: usize = calls.iter().map(|came| came.told(watcher).len()).sum();
    assert_eq!(told, MEMBERS);
}

/// An answer comes with the last leave, not before.
#[track_caller]
fn answered_last(calls: &[Came], to: u64, action: Action) {
    let last_leave = calls.iter().rposition(|came| !came.causes().is_empty());
    let answers: Vec<usize> =
        (0..calls.len()).filter(|call| !calls[*call].of(to, action).is_empty()).collect();
    assert_eq!(answers, [last_leave.expect("leaves")], "{action:?}");
}

fn received(transport: u64, frame: serde_json::Value) -> Input {
    Input::received(TransportId(transport), decode(&frame))
}

#[test]
fn rtn12a_a_close_is_answered_when_its_members_have_left() {
    let (mut rig, watcher, many) = crowd();
    let calls = calls(&mut rig, received(many, json!({"action": 7})));
    all_leave(&calls, watcher, LeaveCause::Closed);
    answered_last(&calls, many, Action::Closed);
    assert_eq!(calls.iter().flat_map(|came| came.closed.clone()).collect::<Vec<_>>(), [many]);
    rig.end();
}

#[test]
fn rtl5_a_detach_is_answered_when_its_members_have_left() {
    let (mut rig, watcher, many) = crowd();
    let calls = calls(&mut rig, received(many, json!({"action": 12, "channel": CHANNEL})));
    all_leave(&calls, watcher, LeaveCause::Detached);
    answered_last(&calls, many, Action::Detached);
    rig.end();
}

#[test]
fn rtl5l_an_attach_anew_is_answered_when_its_members_have_left() {
    let (mut rig, watcher, many) = crowd();
    rig.lose(many);
    let (again, _) = rig.resume("*", many);
    let calls = calls(&mut rig, received(again, json!({"action": 10, "channel": CHANNEL})));
    all_leave(&calls, watcher, LeaveCause::Detached);
    answered_last(&calls, again, Action::Attached);
    rig.end();
}

#[test]
fn an_attach_without_the_mode_is_answered_when_its_members_have_left() {
    let (mut rig, watcher, many) = crowd();
    let frame = json!({"action": 10, "channel": CHANNEL, "flags": 1 << 19});
    let calls = calls(&mut rig, received(many, frame));
    all_leave(&calls, watcher, LeaveCause::RightLost);
    answered_last(&calls, many, Action::Attached);
    rig.end();
}

#[test]
fn rtl14_an_attach_that_is_refused_is_answered_when_its_members_have_left() {
    let (mut rig, watcher, many) = crowd();
    let params = json!({"x": "y".repeat(5_000)});
    let frame = json!({"action": 10, "channel": CHANNEL, "params": params});
    let calls = calls(&mut rig, received(many, frame));
    all_leave(&calls, watcher, LeaveCause::RightLost);
    answered_last(&calls, many, Action::Error);
    rig.end();
}

#[test]
fn rtc8a1_rights_that_are_lost_take_members_out_within_the_budget() {
    for (left, action) in
        [(Operations::SUBSCRIBE, Action::Attached), (Operations::HISTORY, Action::Error)]
    {
        let (mut rig, watcher, many) = crowd();
        let input = Input::authorized(TransportId(many), Identity::Any, Arc::new(may(left)), None);
        let calls = calls(&mut rig, input);
        assert_eq!(calls[0].of(many, Action::Connected).len(), 1);
        all_leave(&calls, watcher, LeaveCause::RightLost);
        answered_last(&calls, many, action);
        rig.end();
    }
}

#[test]
fn rights_that_were_lost_take_members_out_within_the_budget_though_the_transport_goes_again() {
    let (mut rig, watcher, many) = crowd();
    rig.lose(many);
    let mut less = request("*");
    less.resume = Some(rig.key(many).into());
    less.capability = Arc::new(may(Operations::SUBSCRIBE));
    let transport = TransportId(9);
    let first = rig.call(Input::opened(transport, less));
    let mut all = vec![first];
    all.extend(calls(&mut rig, Input::closed(transport)));
    all_leave(&all, watcher, LeaveCause::RightLost);
}

#[test]
fn a_kick_takes_members_out_within_the_budget() {
    let (rig, watcher, many) = crowd();
    let connection_id: SmolStr = rig.id(many).into();
    for connection_id in [None, Some(connection_id)] {
        let mut rig = rig.clone();
        let kick = Input::kick(CHANNEL, None, connection_id);
        let calls = calls(&mut rig, kick);
        all_leave(&calls, watcher, LeaveCause::Kicked);
        rig.end();
    }
}

#[test]
fn a_kick_of_a_client_id_takes_its_connections_out_within_the_budget() {
    let mut rig = Rig::with(with_budget(BUDGET));
    let watcher = rig.join("watcher");
    for _ in 0..MEMBERS {
        let transport = rig.join("same");
        rig.enter(transport, 0, "");
    }
    rig.enter(watcher, 0, "stays");
    let kick = Input::kick(CHANNEL, Some("same".into()), None);
    let calls = calls(&mut rig, kick);
    all_leave(&calls, watcher, LeaveCause::Kicked);
    assert_eq!(rig.members(), ["watcher=stays"]);
    rig.end();
}

#[test]
fn a_kick_takes_out_nobody_who_enters_after_it() {
    let (mut rig, watcher, many) = crowd();
    let kick = Input::kick(CHANNEL, None, None);
    let first = rig.call(kick);
    assert_eq!(first.causes().len(), BUDGET);
    // The kick is not over. Who enters now waits until it is.
    let again = rig.call(received(
        many,
        json!({"action": 14, "channel": CHANNEL, "msgSerial": 1,
            "presence": [{"action": 2, "clientId": "c0"}, {"action": 4, "clientId": "c34"}]}),
    ));
    assert_eq!(again.of(many, Action::Ack).len(), 0);
    let rest = rig.input(Input::Tick);
    assert_eq!(rest.of(many, Action::Ack).len(), 1);
    assert_eq!(rig.members(), ["c0", "c34"]);
    let told = [first, again, rest].iter().map(|came| came.told(watcher).len()).sum::<usize>();
    assert_eq!(told, MEMBERS + 2);
    rig.end();
}

#[test]
fn a_grace_that_was_over_ends_within_the_budget_before_the_resume_counts() {
    let (mut rig, watcher, many) = crowd();
    rig.lose(many);
    rig.time += 15_000;
    let transport = TransportId(9);
    let mut request = request("*");
    request.resume = Some(rig.key(many).into());
    let mut all = vec![rig.call(Input::opened(transport, request))];
    assert_eq!(all[0].of(9, Action::Connected).len(), 1);
    let serial = "f".repeat(16);
    let attach = json!({"action": 10, "channel": CHANNEL, "channelSerial": serial});
    all.extend(calls(&mut rig, received(9, attach)));
    all_leave(&all, watcher, LeaveCause::GraceEnded);
    answered_last(&all, 9, Action::Attached);
    rig.end();
}

#[test]
fn rtn15c7_a_connection_that_has_expired_ends_within_the_budget() {
    let (mut rig, watcher, many) = crowd();
    rig.lose(many);
    rig.time += 120_000;
    let mut request = request("*");
    request.resume = Some(rig.key(many).into());
    let all = calls(&mut rig, Input::opened(TransportId(9), request));
    assert_eq!(all[0].codes(9), [80008]);
    // The watcher has been silent for too long.
    let left: Vec<usize> = all.iter().map(|came| came.causes().len()).collect();
    assert!(left.iter().all(|left| *left <= BUDGET), "{left:?}");
    assert_eq!((left.iter().sum::<usize>(), rig.members().len()), (MEMBERS, 0));
    let _ = watcher;
    rig.end();
}

#[test]
fn rtn15c7_a_connection_that_is_closing_is_not_resumed() {
    let (mut rig, watcher, many) = crowd();
    let key = rig.key(many).to_owned();
    let mut all = vec![rig.call(received(many, json!({"action": 7})))];
    let mut request = request("*");
    request.resume = Some(key.into());
    all.extend(calls(&mut rig, Input::opened(TransportId(9), request)));
    assert_eq!(all[1].codes(9), [80008]);
    assert_ne!(rig.id(9), rig.id(many));
    all_leave(&all, watcher, LeaveCause::Closed);
    answered_last(&all, many, Action::Closed);
    rig.end();
}

#[test]
fn members_of_a_request_that_was_begun_leave_though_the_transport_is_lost() {
    for (frame, cause) in [
        (json!({"action": 7}), LeaveCause::Closed),
        (json!({"action": 12, "channel": CHANNEL}), LeaveCause::Detached),
    ] {
        let (mut rig, watcher, many) = crowd();
        let mut all = vec![rig.call(received(many, frame))];
        all.extend(calls(&mut rig, Input::closed(TransportId(many))));
        all_leave(&all, watcher, cause);
        assert!(all[1..].iter().all(|came| came.to(many).is_empty() && came.closed.is_empty()));
        rig.end();
    }
}

#[test]
fn rtn12a_a_close_that_waits_counts_though_the_transport_is_lost() {
    let (mut rig, watcher, many) = crowd();
    rig.attach(many, "other");
    rig.recv(
        many,
        json!({"action": 14, "channel": "other", "msgSerial": 1,
            "presence": [{"action": 2, "clientId": "c"}]}),
    );
    rig.call(received(many, json!({"action": 12, "channel": CHANNEL})));
    rig.call(received(many, json!({"action": 7})));
    rig.lose(many);
    assert_eq!((rig.members().len(), rig.members_of("other").len()), (0, 0));
    let _ = watcher;
    rig.end();
}

#[test]
fn frames_that_follow_wait_and_are_answered_in_order() {
    let (mut rig, watcher, many) = crowd();
    let mut all = vec![rig.call(received(many, json!({"action": 12, "channel": CHANNEL})))];
    // Without this the attach would be answered before the detach, and undone by its answer.
    all.push(rig.call(received(many, json!({"action": 10, "channel": CHANNEL}))));
    let enter = json!({"action": 14, "channel": CHANNEL, "msgSerial": 1,
        "presence": [{"action": 2, "clientId": "c0", "data": "new"}]});
    all.extend(calls(&mut rig, received(many, enter)));
    let answers: Vec<Action> =
        all.iter().flat_map(|came| came.to(many)).map(|frame| frame.action).collect();
    let wanted = [Action::Detached, Action::Attached, Action::Ack];
    let answers: Vec<Action> =
        answers.into_iter().filter(|action| wanted.contains(action)).collect();
    assert_eq!(answers, wanted);
    assert_eq!(rig.members(), ["c0=new"]);
    assert_eq!(all.iter().map(|came| came.told(watcher).len()).sum::<usize>(), MEMBERS + 1);
    rig.end();
}

#[test]
fn frames_that_wait_are_bounded() {
    let mut config = with_budget(1);
    config.limits.waiting_frames = 3;
    let mut rig = Rig::with(config);
    let many = rig.join("*");
    enter(&mut rig, many, 0);
    rig.call(received(many, json!({"action": 12, "channel": CHANNEL})));
    let ping = || received(many, json!({"action": 0, "id": "x"}));
    for _ in 0..2 {
        assert_eq!(rig.call(ping()).codes(many), [0; 0]);
    }
    let came = rig.call(ping());
    assert_eq!((came.codes(many), came.closed), (vec![42920], vec![many]));
    assert_eq!(rig.server.counters().limited, 1);
    rig.end();
}

// Apart from the time a small budget makes no difference.

/// What one of two connections with many members does, or what is done to it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter { who: usize, channel: usize, members: usize },
    Leave { who: usize, channel: usize },
    Attach { who: usize, channel: usize, anew: bool },
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
            .prop_map(|((who, channel), anew)| Step::Attach { who, channel, anew }),
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
    rig: Rig,
    transports: [Option<u64>; 2],
    last: [Option<u64>; 2],
    serials: [i64; 2],
    /// What happened, in order: events, and answers to each connection.
    story: Vec<String>,
}

impl Play {
    fn of(budget: usize, steps: &[Step]) -> Self {
        let mut play = Self {
            rig: Rig::with(with_budget(budget)),
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
        request.resume = self.last[who].map(|old| self.rig.key(old).into());
        let (transport, came) = self.rig.open_for(request);
        if self.last[who].is_none_or(|old| self.rig.id(old) != self.rig.id(transport)) {
            self.serials[who] = 0;
        }
        (self.transports[who], self.last[who]) = (Some(transport), Some(transport));
        self.note(came);
        transport
    }

    fn step(&mut self, step: Step) {
        let name = |channel: usize| ["one", "two"][channel];
        let came = match step {
            Step::Enter { who, channel, members } => {
                let items: Vec<_> = (0..members)
                    .map(|n| json!({"action": 2, "clientId": format!("c{n}")}))
                    .collect();
                self.presence(who, name(channel), json!(items))
            }
            Step::Leave { who, channel } => {
                self.presence(who, name(channel), json!([{"action": 3, "clientId": "c0"}]))
            }
            Step::Attach { who, channel, anew } => {
                let transport = self.transport(who);
                if anew {
                    self.rig.attach(transport, name(channel))
                } else {
                    self.rig.attach_again(transport, name(channel), "0000000000000000")
                }
            }
            Step::Detach { who, channel } => {
                let transport = self.transport(who);
                self.rig.recv(transport, json!({"action": 12, "channel": name(channel)}))
            }
            Step::Close { who } => {
                let transport = self.transport(who);
                self.transports[who] = None;
                self.rig.recv(transport, json!({"action": 7}))
            }
            Step::Lose { who } => {
                let Some(transport) = self.transports[who].take() else { return };
                self.rig.lose(transport)
            }
            Step::Rights { who, all } => {
                let transport = self.transport(who);
                let less = || Capability::none().allow("one", Operations::SUBSCRIBE);
                self.rig.authorized(transport, if all { Capability::all() } else { less() })
            }
            Step::Kick { channel, client } => {
                let client_id = client.map(|n| format!("c{n}").into());
                self.rig.input(Input::kick(name(channel), client_id, None))
            }
            Step::Pass { millis } => {
                let open: Vec<u64> = self.transports.iter().flatten().copied().collect();
                self.rig.pass_alive(millis, &open)
            }
        };
        self.note(came);
    }

    fn presence(&mut self, who: usize, channel: &str, items: serde_json::Value) -> Came {
        let transport = self.transport(who);
        let serial = self.serials[who];
        self.serials[who] += 1;
        let frame =
            json!({"action": 14, "channel": channel, "msgSerial": serial, "presence": items});
        self.rig.recv(transport, frame)
    }

    fn note(&mut self, came: Came) {
        // Of each member in order. Members of two connections whose graces end at once take turns.
        let mut events = Vec::new();
        for event in &came.events {
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
            for frame in came.to(who).into_iter().filter(answer) {
                let code = frame.error.as_ref().map(|error| error.code);
                let (action, flags) = (frame.action, frame.flags());
                self.story.push(format!("{who} {action:?} {:?} {flags:?} {code:?}", frame.channel));
            }
        }
        for channel in ["one", "two"] {
            self.story.push(format!("{channel}: {:?}", self.rig.members_of(channel)));
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
        small.rig.end();
    }
}
