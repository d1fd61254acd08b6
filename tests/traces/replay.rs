//! Carries out the steps of a trace on a client and writes down what it does.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::time::Duration;
use presence_proto::client::{
    ChannelOptions, ChannelStateChange, Client, ClientOptions, ConnectionStateChange, GetParams,
    Input, Outbox, Outcome, Output, PresenceChange, output,
};
use presence_proto::members::Member;
use presence_proto::wire::{
    Data, ErrorInfo, Format, Modes, PresenceAction, PresenceMessage, ProtocolMessage, Value,
};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};
use serde_json::{Map, Value as Json, json};

/// What the client did, and when.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) step: usize,
    pub(crate) time: u64,
    /// Whether an idle timeout has fired by then.
    pub(crate) after_idle: bool,
    pub(crate) what: Json,
}

/// Operations of the harness itself count from here.
const OWN_OPS: u64 = 1 << 32;

struct Replay {
    client: Client,
    out: Outbox,
    asked: Option<TransportId>,
    opened: Option<TransportId>,
    is_open: bool,
    idle: bool,
    observed: Vec<Observed>,
}

/// Replays a trace.
///
/// The text is read twice: once by this crate's reader, which keeps the order of names in the data
/// of the application.
pub(crate) fn replay(trace: &Json, text: &str) -> Vec<Observed> {
    let ordered = Value::parse_json(text).expect("JSON");
    let ordered = ordered.get("steps").and_then(Value::as_array).expect("steps");
    let options = &trace["options"];
    let mut replay = Replay {
        client: Client::new(client_options(options), 1),
        out: Outbox::new(),
        asked: None,
        opened: None,
        is_open: false,
        idle: false,
        observed: Vec::new(),
    };
    let steps = trace["steps"].as_array().expect("steps");
    let mut names: Vec<&str> = Vec::new();
    for step in steps {
        let channel = [&step["channel"], &step["recv"]["channel"], &step["inspect"]];
        if let Some(name) = channel.into_iter().find_map(Json::as_str)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    for (number, name) in names.into_iter().enumerate() {
        replay.prepare_channel(name, number as u64, &options["channels"][name]);
    }
    for (number, (step, ordered)) in steps.iter().zip(ordered).enumerate() {
        let time = step["t"].as_u64().expect("a time");
        replay.advance(number, time);
        if step["maybe"] == true && !replay.is_open {
            continue;
        }
        replay.carry_out(number, time, step, ordered);
    }
    replay.observed
}

impl Replay {
    /// The recording client subscribes to every channel from the start, which does not attach it.
    fn prepare_channel(&mut self, name: &str, number: u64, options: &Json) {
        let mut channel_options = ChannelOptions::default();
        channel_options.attach_on_subscribe = false;
        if let Some(params) = options["params"].as_object() {
            channel_options.params =
                params.iter().map(|(k, v)| (k.into(), v.as_str().unwrap().into())).collect();
        }
        if let Some(modes) = options["modes"].as_array() {
            let named = |name: &Json| {
                Modes::from_name(&name.as_str().unwrap().to_uppercase()).expect("a mode")
            };
            channel_options.modes = Some(modes.iter().map(named).collect());
        }
        let op = OpId(OWN_OPS + 2 * number);
        let now = now(0);
        let channel = SmolStr::from(name);
        let input = Input::set_options(op, channel, channel_options);
        self.client.handle(now, input, &mut self.out);
        let op = OpId(OWN_OPS + 2 * number + 1);
        let input = Input::subscribe(op, name, SubscriptionId(number));
        self.client.handle(now, input, &mut self.out);
        self.out.drain();
    }

    /// Lets time go on, and every timer fire at its own time.
    fn advance(&mut self, step: usize, until: u64) {
        loop {
            let wake = self.client.handle(now(0), Input::Tick, &mut self.out);
            assert!(self.out.is_empty(), "a tick of the past did something");
            let Some(at) = wake.at().map(Instant::as_millis).filter(|&at| at <= until) else {
                return;
            };
            self.handle(step, at, Input::Tick);
        }
    }

    fn handle(&mut self, step: usize, time: u64, input: Input) {
        let ticking = matches!(input, Input::Tick);
        self.client.handle(now(time), input, &mut self.out);
        let outputs: Vec<Output> = self.out.drain().collect();
        // Nothing but an idle timeout takes a connection down by itself.
        self.idle |= ticking && outputs.iter().any(is_loss);
        for output in outputs {
            match &output {
                Output::Open(output::Open { transport, .. }) => {
                    self.asked = Some(*transport);
                }
                Output::Close(_) => self.is_open = false,
                _ => {}
            }
            if let Some(what) = observation(output) {
                let after_idle = self.idle;
                self.observed.push(Observed { step, time, after_idle, what });
            }
        }
    }

    fn carry_out(&mut self, number: usize, time: u64, step: &Json, ordered: &Value) {
        if let Some(name) = step["inspect"].as_str() {
            let what = json!({ "inspect": self.inspect(name) });
            let after_idle = self.idle;
            self.observed.push(Observed { step: number, time, after_idle, what });
        } else if let Some(frame) = step.get("recv") {
            let bytes = serde_json::to_vec(frame).expect("JSON");
            let frame = ProtocolMessage::decode(Format::Json, &bytes).expect("a frame");
            if let Some(transport) = self.opened {
                self.handle(number, time, Input::received(transport, frame));
            }
        } else if let Some(event) = step["transport"].as_str() {
            self.transport(number, time, event);
        } else if let Some(call) = step["call"].as_str() {
            let input = call_input(call, step, ordered);
            self.handle(number, time, input);
        }
    }

    fn transport(&mut self, number: usize, time: u64, event: &str) {
        let input = match event {
            "opened" => {
                self.opened = self.asked;
                self.is_open = true;
                self.asked.map(Input::opened)
            }
            "closed" => {
                self.is_open = false;
                self.opened.map(|transport| Input::closed(transport, None))
            }
            "failed" => self.asked.map(|transport| Input::open_failed(transport, None)),
            "ping" => self.opened.map(Input::activity),
            other => panic!("unknown transport event {other}"),
        };
        if let Some(input) = input {
            self.handle(number, time, input);
        }
    }

    fn inspect(&self, name: &str) -> Json {
        let Some(channel) = self.client.channel(name) else {
            return json!({
                "channel": name, "state": "initialized", "syncing": false, "members": [], "own": []
            });
        };
        let mut members: Vec<Json> = channel.member_set().iter_stored().map(member).collect();
        sort(&mut members);
        let mut own: Vec<Json> = channel.own_members().map(|own| Json::Object(item(own))).collect();
        sort(&mut own);
        let mut inspect = json!({
            "channel": name,
            "state": channel.state().name(),
            "syncing": channel.is_syncing(),
            "members": members,
            "own": own,
        });
        if let Some(serial) = channel.channel_serial() {
            inspect["channelSerial"] = serial.as_str().into();
        }
        inspect
    }
}

fn is_loss(output: &Output) -> bool {
    matches!(output, Output::Connection(change)
        if change.previous.name() == "connected" && change.current.name() == "disconnected")
}

/// Both clocks: the wall clock reads 1,000,000 when the other begins.
fn now(time: u64) -> Now {
    Now::new(
        Instant::from_millis(time),
        UnixMillis::from_millis(1_000_000 + i64::try_from(time).expect("a time")),
    )
}

fn client_options(options: &Json) -> ClientOptions {
    let mut client = ClientOptions::default();
    client.format = Format::Json;
    client.observes_pings = true;
    client.retry_jitter = false;
    for (name, value) in options.as_object().expect("options") {
        let duration = || Duration::from_millis(value.as_u64().expect("milliseconds"));
        match name.as_str() {
            "clientId" => client.client_id = value.as_str().map(SmolStr::from),
            "queueMessages" => client.queue_messages = value.as_bool().expect("a bool"),
            "strictMode" => client.strict_mode = value.as_bool().expect("a bool"),
            "echoMessages" => client.echo_messages = value.as_bool().expect("a bool"),
            "disconnectedRetryTimeout" => client.disconnected_retry_timeout = duration(),
            "suspendedRetryTimeout" => client.suspended_retry_timeout = duration(),
            "channelRetryTimeout" => client.channel_retry_timeout = duration(),
            "realtimeRequestTimeout" => client.realtime_request_timeout = duration(),
            "transportParams" => {
                let params = value.as_object().expect("an object").iter();
                client.transport_params = params
                    .map(|(name, value)| {
                        let text = value.as_str().map_or_else(|| value.to_string(), String::from);
                        (name.into(), text.into())
                    })
                    .collect();
            }
            "recover" => {
                let text = value.as_str().map_or_else(|| value.to_string(), String::from);
                client.recover = Some(text.into());
            }
            "channels" => {}
            other => panic!("unknown option {other}"),
        }
    }
    client
}

fn call_input(call: &str, step: &Json, ordered: &Value) -> Input {
    let op = OpId(step["op"].as_u64().unwrap_or(u64::MAX));
    let channel = || SmolStr::from(step["channel"].as_str().expect("a channel"));
    let text = |name: &str| step[name].as_str().map(SmolStr::from);
    let action = match call {
        "connect" => return Input::Connect,
        "close" => return Input::Close,
        "attach" => return Input::attach(op, channel()),
        "detach" => return Input::detach(op, channel()),
        "get" => {
            let mut params = GetParams::default();
            params.wait_for_sync = step["waitForSync"].as_bool().unwrap_or(true);
            params.client_id = text("clientId");
            params.connection_id = text("connectionId");
            return Input::get_with(op, channel(), params);
        }
        "enter" | "enterClient" => PresenceAction::Enter,
        "update" | "updateClient" => PresenceAction::Update,
        "leave" | "leaveClient" => PresenceAction::Leave,
        other => panic!("unknown call {other}"),
    };
    let mut change = PresenceChange::new(action, ordered.get("data").and_then(data_of));
    change.client_id = text("clientId");
    change.extras = ordered.get("extras").map(|extras| Box::new(extras.clone()));
    Input::presence(op, channel(), change)
}

fn data_of(data: &Value) -> Option<Data> {
    match data {
        Value::Null => None,
        Value::String(text) => Some(text.as_str().into()),
        other => match other.get("$base64").and_then(Value::as_str) {
            Some(text) => Some(STANDARD.decode(text).expect("base64").into()),
            None => Some(other.clone().into()),
        },
    }
}

fn data_to_json(data: &Data) -> Json {
    match data {
        Data::String(text) => text.as_str().into(),
        Data::Binary(bytes) => json!({ "$base64": STANDARD.encode(bytes) }),
        Data::Json(value) => serde_json::from_str(&value.to_json()).expect("JSON"),
        _ => panic!("unknown data"),
    }
}

/// What an output means in the terms of a trace; `None` for what traces do not tell.
fn observation(output: Output) -> Option<Json> {
    Some(match output {
        Output::Send(output::Send { frame, .. }) => {
            let bytes = frame.encode(Format::Json);
            json!({ "sent": serde_json::from_slice::<Json>(&bytes).expect("JSON") })
        }
        Output::Open(output::Open { params, .. }) => {
            let params: Map<String, Json> = params
                .iter()
                .map(|(name, value)| (name.to_string(), value.as_str().into()))
                .collect();
            json!({ "transport": { "open": params } })
        }
        Output::Close(_) => json!({ "transport": "close" }),
        Output::Connection(change) => json!({ "connection": connection(&change) }),
        Output::Channel(output::Channel { channel, change, .. }) => {
            json!({ "channel": channel_event(&channel, &change) })
        }
        Output::Presence(output::Presence { channel, message, .. }) => {
            let mut event = item(&message);
            event.insert("channel".into(), channel.as_str().into());
            event.insert("action".into(), action(message.action).into());
            json!({ "presence": event })
        }
        Output::Done(output::Done { op, result, .. }) if op.0 < OWN_OPS => {
            json!({ "done": done(op, result) })
        }
        Output::Misuse(misuse) => json!({ "misuse": misuse.to_string() }),
        _ => return None,
    })
}

fn connection(change: &ConnectionStateChange) -> Json {
    let mut event = json!({
        "state": change.current.name(),
        "previous": change.previous.name(),
        "event": change.event.name(),
    });
    if let Some(reason) = &change.reason {
        event["code"] = reason.code.into();
    }
    if let Some(delay) = change.retry_in {
        event["retryIn"] = u64::try_from(delay.as_millis()).expect("a delay").into();
    }
    event
}

fn channel_event(name: &str, change: &ChannelStateChange) -> Json {
    let mut event = json!({
        "name": name,
        "state": change.current.name(),
        "previous": change.previous.name(),
        "event": change.event.name(),
        "resumed": change.resumed,
    });
    if let Some(reason) = &change.reason {
        event["code"] = reason.code.into();
        if let (91004, Some(cause)) = (reason.code, &reason.cause) {
            event["cause"] = cause.code.into();
        }
    }
    if change.has_backlog {
        event["hasBacklog"] = true.into();
    }
    event
}

fn done(op: OpId, result: Result<Outcome, ErrorInfo>) -> Json {
    match result {
        Ok(Outcome::Members(members)) => {
            let mut members: Vec<Json> =
                members.iter().map(|member| Json::Object(item(member))).collect();
            sort(&mut members);
            json!({ "op": op.0, "ok": true, "members": members })
        }
        Ok(_) => json!({ "op": op.0, "ok": true }),
        Err(error) => {
            json!({ "op": op.0, "error": { "code": error.code, "statusCode": error.status_code } })
        }
    }
}

fn member(member: Member<'_>) -> Json {
    let mut shown = item(&member.to_message(PresenceAction::Present));
    if member.is_absent() {
        shown.insert("absent".into(), true.into());
    }
    Json::Object(shown)
}

fn item(message: &PresenceMessage) -> Map<String, Json> {
    let mut item = Map::new();
    let mut put = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            item.insert(name.into(), value);
        }
    };
    let text = |text: &Option<SmolStr>| text.as_ref().map(|text| Json::from(text.as_str()));
    put("clientId", text(&message.client_id));
    put("connectionId", text(&message.connection_id));
    put("id", text(&message.id));
    put("encoding", text(&message.encoding));
    put("data", message.data.as_ref().map(data_to_json));
    put("timestamp", message.timestamp.map(|timestamp| timestamp.as_millis().into()));
    put(
        "extras",
        message
            .extras
            .as_ref()
            .map(|extras| serde_json::from_str(&extras.to_json()).expect("JSON")),
    );
    item
}

fn action(action: PresenceAction) -> &'static str {
    match action {
        PresenceAction::Absent => "absent",
        PresenceAction::Present => "present",
        PresenceAction::Enter => "enter",
        PresenceAction::Leave => "leave",
        PresenceAction::Update => "update",
        _ => "unknown",
    }
}

/// By client id, then connection id.
pub(crate) fn sort(members: &mut [Json]) {
    members.sort_by_key(|member| {
        let part = |name: &str| member[name].as_str().unwrap_or_default().to_owned();
        (part("clientId"), part("connectionId"))
    });
}
