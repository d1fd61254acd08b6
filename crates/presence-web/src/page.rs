//! One client, spoken to in JSON.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use presence_proto::client::{
    Client, ClientOptions, Input, Outbox, Outcome, Output, output, PresenceChange,
};
use presence_proto::wire::ProtocolMessage;
use presence_proto::wire::{Action, ErrorInfo, Format, PresenceAction, PresenceMessage};
use presence_proto::{Instant, Now, OpId, SmolStr, SubscriptionId, TransportId, UnixMillis};
use serde::{Deserialize, Serialize};

/// The client and the text of its last outputs.
pub(crate) struct Page {
    client: Client,
    out: Outbox,
    text: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    client_id: Option<SmolStr>,
    /// A token, for servers that want one.
    token: Option<SmolStr>,
    /// The server keeps the members for so many milliseconds after a loss.
    remain_present_for: Option<u32>,
    /// First delay of a retry, in milliseconds.
    disconnected_retry: Option<u32>,
}

/// An input, as the page writes it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum PageInput {
    Tick,
    Connect,
    Close,
    Opened {
        transport: u64,
    },
    /// A transport could not be opened, or has closed.
    Lost {
        transport: u64,
        opened: bool,
    },
    Received {
        transport: u64,
        frame: String,
    },
    NetworkLost,
    NetworkAvailable,
    Subscribe {
        channel: SmolStr,
    },
    /// `message` is a presence message in the protocol's own JSON.
    Presence {
        channel: SmolStr,
        message: String,
    },
}

/// An output, as the page reads it.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum PageOutput<'a> {
    Open {
        transport: u64,
        params: &'a [(SmolStr, SmolStr)],
    },
    Close {
        transport: u64,
    },
    Send {
        transport: u64,
        frame: String,
    },
    #[serde(rename_all = "camelCase")]
    Connection {
        state: &'static str,
        reason: Option<String>,
        retry_in: Option<u64>,
        connection_id: Option<SmolStr>,
    },
    Channel {
        channel: &'a str,
        state: &'static str,
        resumed: bool,
        reason: Option<String>,
    },
    /// `frame` is a frame in the protocol's own JSON, whose only item is the event.
    Presence {
        channel: &'a str,
        frame: String,
    },
    Failed {
        op: u64,
        reason: String,
    },
    Warning {
        text: String,
    },
}

impl Page {
    pub(crate) fn new(options: &[u8], seed: u64) -> Option<Self> {
        let asked: Options = serde_json::from_slice(options).ok()?;
        let mut options = ClientOptions::default();
        options.client_id = asked.client_id;
        options.token = asked.token;
        options.format = Format::Json;
        if let Some(millis) = asked.remain_present_for {
            options
                .transport_params
                .push(("remainPresentFor".into(), SmolStr::from(millis.to_string())));
        }
        if let Some(millis) = asked.disconnected_retry {
            options.disconnected_retry_timeout = core::time::Duration::from_millis(millis.into());
        }
        Some(Self { client: Client::new(options, seed), out: Outbox::new(), text: String::new() })
    }

    /// The text of the last outputs or members.
    pub(crate) fn output(&self) -> &str {
        &self.text
    }

    /// The delay until the next call, -1 for none; `None` if the input cannot be read.
    pub(crate) fn handle(&mut self, input: &[u8], mono: f64, wall: f64) -> Option<f64> {
        let input = serde_json::from_slice::<PageInput>(input).ok()?.into_input()?;
        // A page's clocks count milliseconds with fractions, far below 2^53.
        let now = Now::new(Instant::from_millis(mono as u64), UnixMillis::from_millis(wall as i64));
        let wake = self.client.handle(now, input, &mut self.out);

        let connection_id = self.client.connection().id().cloned();
        let outputs: Vec<Output> = self.out.drain().collect();
        let outputs: Vec<PageOutput<'_>> =
            outputs.iter().filter_map(|output| show(output, connection_id.as_ref())).collect();
        self.text = serde_json::to_string(&outputs).ok()?;
        Some(wake.delay(now).map_or(-1.0, |delay| delay.as_millis() as f64))
    }

    pub(crate) fn members(&mut self, channel: &[u8]) -> usize {
        let mut frame = ProtocolMessage::new(Action::Presence);
        if let Some(channel) =
            core::str::from_utf8(channel).ok().and_then(|c| self.client.channel(c))
        {
            frame.presence =
                channel.members().map(|m| m.to_message(PresenceAction::Present)).collect();
        }
        self.text = text(&frame);
        frame.presence.len()
    }
}

impl PageInput {
    fn into_input(self) -> Option<Input> {
        // The page tells operations apart by nothing: a failure is shown, whichever it was.
        let op = OpId(0);
        Some(match self {
            Self::Tick => Input::Tick,
            Self::Connect => Input::Connect,
            Self::Close => Input::Close,
            Self::Opened { transport } => {
                Input::opened(TransportId(transport))
            }
            Self::Lost { transport, opened: false } => {
                Input::open_failed(TransportId(transport), None)
            }
            Self::Lost { transport, opened: true } => {
                Input::closed(TransportId(transport), None)
            }
            Self::Received { transport, frame } => Input::received(TransportId(transport), ProtocolMessage::decode(Format::Json, frame.as_bytes()).ok()?),
            Self::NetworkLost => Input::NetworkLost,
            Self::NetworkAvailable => Input::NetworkAvailable,
            Self::Subscribe { channel } => Input::subscribe(op, channel, SubscriptionId(0)),
            Self::Presence { channel, message } => {
                let frame = ProtocolMessage::decode(Format::Json, message.as_bytes()).ok()?;
                let mut message = frame.presence.into_iter().next()?;
                message.decode_data().ok()?;
                let change = PresenceChange::new(message.action, message.data);
                Input::presence(op, channel, change)
            }
        })
    }
}

/// What the page is shown of an output, if anything.
fn show<'a>(output: &'a Output, connection_id: Option<&SmolStr>) -> Option<PageOutput<'a>> {
    Some(match output {
        Output::Open(output::Open { transport, params, .. }) => {
            PageOutput::Open { transport: transport.0, params }
        }
        Output::Close(output::Close { transport, .. }) => PageOutput::Close { transport: transport.0 },
        Output::Send(output::Send { transport, frame, .. }) => {
            PageOutput::Send { transport: transport.0, frame: text(frame) }
        }
        Output::Connection(change) => PageOutput::Connection {
            state: change.current.name(),
            reason: reason(change.reason.as_ref()),
            retry_in: change.retry_in.and_then(|delay| u64::try_from(delay.as_millis()).ok()),
            connection_id: connection_id.cloned(),
        },
        Output::Channel(output::Channel { channel, change, .. }) => PageOutput::Channel {
            channel,
            state: change.current.name(),
            resumed: change.resumed,
            reason: reason(change.reason.as_ref()),
        },
        Output::Presence(output::Presence { channel, message, .. }) => {
            PageOutput::Presence { channel, frame: item(message) }
        }
        Output::Done(output::Done { op, result: Err(error), .. }) => {
            PageOutput::Failed { op: op.0, reason: error.to_string() }
        }
        Output::Done(output::Done { result: Ok(Outcome::Done), .. }) => return None,
        Output::Warning(warning) => PageOutput::Warning { text: warning.to_string() },
        Output::Misuse(misuse) => PageOutput::Warning { text: misuse.to_string() },
        _ => return None,
    })
}

fn reason(error: Option<&ErrorInfo>) -> Option<String> {
    error.map(
        |error| {
            if error.message.is_empty() { error.to_string() } else { error.message.to_string() }
        },
    )
}

fn item(message: &PresenceMessage) -> String {
    let mut frame = ProtocolMessage::new(Action::Presence);
    frame.presence.push(message.clone());
    text(&frame)
}

/// A frame as JSON.
fn text(frame: &ProtocolMessage) -> String {
    String::from_utf8(frame.encode(Format::Json)).unwrap_or_default()
}
