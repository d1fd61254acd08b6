//! A presence client for the terminal, on tokio.
//!
//! ```text
//! cargo run -p presence-server --example client -- --url ws://127.0.0.1:8080 --key dev.key:development-only \
//!     --client-id ann --channel lobby --data "looking around"
//! ```
//!
//! It enters the channel and shows who is present as that changes. When the connection is lost it
//! connects again and enters again, all by the core. A line that you type becomes the member's
//! data. Ctrl-C closes the connection, which makes its member leave at once; a second one does not
//! wait for the server.
//!
//! The driver is the loop in [`run`]: each event becomes an [`Input`], and every
//! [`Output`] is done before the next input. Everything else is sockets and the screen.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output, output};
use presence_proto::client::{ConnectionEvent, ConnectionState, ConnectionStateChange};
use presence_proto::wire::{Data, ErrorInfo, Format, Params, PresenceAction, codes};
use presence_proto::wire::{PresenceMessage, ProtocolMessage};
use presence_proto::{Clock, OpId, SubscriptionId, TransportId};
use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

/// How long to wait for a transport to open; the core gives up at about the same time (TO3l11).
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum of frames and typed lines that wait for the loop. Their senders wait beyond it.
const QUEUE: usize = 64;
/// The operations of this program, told apart by what they are.
const SUBSCRIBE: OpId = OpId(1);
const ENTER: OpId = OpId(2);
const UPDATE: OpId = OpId(3);

/// A presence client: enters a channel and shows who is there.
#[derive(Parser)]
struct Args {
    /// Where the server is.
    #[arg(long, default_value = "ws://127.0.0.1:8080", value_parser = web_socket)]
    url: url::Url,
    /// A key of the server, NAME:SECRET.
    #[arg(long, env = "PRESENCE_KEY", hide_env_values = true, conflicts_with = "token")]
    key: Option<String>,
    /// A token, instead of a key.
    #[arg(long, env = "PRESENCE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Who you are.
    #[arg(long, default_value_t = format!("cli-{}", std::process::id()))]
    client_id: String,
    /// The channel to enter.
    #[arg(long, default_value = "lobby")]
    channel: String,
    /// What to tell the others.
    #[arg(long)]
    data: Option<String>,
    /// Only watch: do not enter.
    #[arg(long)]
    watch: bool,
    /// How frames travel: json or msgpack.
    #[arg(long, default_value = "json", value_parser = format_of)]
    format: Format,
}

fn web_socket(text: &str) -> Result<url::Url, String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    let good = matches!(url.scheme(), "ws" | "wss");
    good.then_some(url).ok_or_else(|| "it begins with ws:// or wss://".into())
}

fn format_of(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| "json or msgpack".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse(), &Screen::new()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The driver. Ends when the connection is closed, or has failed for good.
async fn run(args: &Args, screen: &Screen) -> Result<(), Box<dyn Error>> {
    let mut options = ClientOptions::default();
    options.client_id = Some(args.client_id.as_str().into());
    options.format = args.format;
    options.token = args.token.as_deref().map(Into::into);
    // tungstenite shows pings, so the server need not send heartbeat frames (RTN23b).
    options.observes_pings = true;
    let mut core = Client::new(options, getrandom::u64()?);
    let mut out = Outbox::new();
    let clock = Clock::start();

    let (events, mut happened) = mpsc::channel::<Input>(QUEUE);
    let mut lines = typed_lines();
    let mut ctrl_c = pin!(tokio::signal::ctrl_c());
    let mut transport: Option<Transport> = None;
    let mut closing = false;

    let channel = args.channel.as_str();
    let text = |text: &str| Some(Data::String(text.into()));
    let mut todo =
        VecDeque::from([Input::Connect, Input::subscribe(SUBSCRIBE, channel, SubscriptionId(1))]);
    if !args.watch {
        todo.push_back(Input::enter(ENTER, channel, args.data.as_deref().and_then(text)));
    }

    loop {
        // A tick is what is left when nothing else has happened.
        let wake = core.handle(clock.now(), todo.pop_front().unwrap_or(Input::Tick), &mut out);

        let mut roster_changed = false;
        for output in out.drain() {
            match output {
                Output::Open(output::Open { transport: id, params, .. }) => {
                    transport = Some(Transport::open(id, args, &params, events.clone()));
                }
                Output::Close(output::Close { transport: id, .. }) => {
                    // Dropped, it sends what it has and closes.
                    transport = transport.filter(|open| open.id != id);
                }
                Output::Send(output::Send { transport: id, frame, .. }) => {
                    if let Some(open) = transport.as_ref().filter(|open| open.id == id) {
                        open.send(&frame);
                    }
                }
                Output::Connection(change) => {
                    screen.connection(&change)?;
                    match change.event {
                        ConnectionEvent::State(ConnectionState::Closed) => return Ok(()),
                        ConnectionEvent::State(ConnectionState::Failed) => {
                            return Err(change.reason.unwrap_or_default().into());
                        }
                        _ => {}
                    }
                }
                // It takes everything with it, and tells why itself.
                _ if core.connection().state() == ConnectionState::Failed => {}
                Output::Presence(output::Presence { message, .. }) => {
                    screen.member(&message)?;
                    roster_changed |= message.action != PresenceAction::Update;
                }
                other => screen.other(&other)?,
            }
        }
        if roster_changed && let Some(channel) = core.channel(channel) {
            let mut names: Vec<_> = channel.members().map(|m| m.client_id().as_str()).collect();
            names.sort_unstable();
            screen.say(Color::Bold, &format!("present ({}): {}", names.len(), names.join(", ")))?;
        }
        if !todo.is_empty() {
            continue;
        }

        tokio::select! {
            // Never empty-handed for good: this function holds a sender itself.
            Some(input) = happened.recv() => todo.push_back(input),
            Some(line) = lines.recv(), if !closing => {
                todo.push_back(Input::update(UPDATE, channel, text(&line)));
            }
            pressed = &mut ctrl_c => {
                pressed?;
                if closing {
                    return Ok(());
                }
                ctrl_c.set(tokio::signal::ctrl_c());
                closing = true;
                todo.push_back(Input::Close);
            }
            () = sleep(wake.delay(clock.now())) => {}
        }
    }
}

/// Sleeps for so long; for ever if there is nothing to wait for.
async fn sleep(delay: Option<Duration>) {
    match delay {
        Some(delay) => tokio::time::sleep(delay).await,
        None => std::future::pending().await,
    }
}

/// A WebSocket in a task of its own. Dropping this ends the task, once what it was told to send
/// is sent.
struct Transport {
    id: TransportId,
    format: Format,
    queue: mpsc::UnboundedSender<Message>,
}

impl Transport {
    /// Opens a transport; what happens to it comes as events.
    fn open(id: TransportId, args: &Args, params: &Params, events: mpsc::Sender<Input>) -> Self {
        let mut url = args.url.clone();
        url.query_pairs_mut().extend_pairs(params);
        if let Some(key) = &args.key {
            url.query_pairs_mut().append_pair("key", key);
        }
        let format = args.format;
        // Without a bound here: what waits is bounded by the core, which knows what is
        // acknowledged.
        let (queue, frames) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let last = converse(id, url, format, frames, &events).await;
            // Nobody listens any more when the program ends.
            let _ = events.send(last).await;
        });
        Self { id, format, queue }
    }

    fn send(&self, frame: &ProtocolMessage) {
        let bytes = Bytes::from(frame.encode(self.format));
        let message = match self.format {
            Format::Json => Message::Text(bytes.try_into().expect("JSON is UTF-8")),
            Format::MessagePack => Message::Binary(bytes),
        };
        // A queue that is closed belongs to a transport that has just told its end.
        let _ = self.queue.send(message);
    }
}

/// The life of a transport. Returns how it ended.
async fn converse(
    transport: TransportId,
    url: url::Url,
    format: Format,
    mut frames: mpsc::UnboundedReceiver<Message>,
    events: &mpsc::Sender<Input>,
) -> Input {
    let opening = tokio_tungstenite::connect_async(url.as_str());
    let mut socket = match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
        Ok(Ok((socket, _response))) => socket,
        Ok(Err(error)) => return Input::open_failed(transport, Some(lost(&error))),
        Err(_) => {
            let error = Some(ErrorInfo::new(
                codes::CONNECTION_DISCONNECTED,
                504,
                "no answer from the server",
            ));
            return Input::open_failed(transport, error);
        }
    };
    let mut event = Some(Input::opened(transport));
    loop {
        if let Some(event) = event.take()
            && events.send(event).await.is_err()
        {
            return Input::closed(transport, None);
        }
        tokio::select! {
            frame = frames.recv() => {
                let sent = match frame {
                    Some(frame) => socket.send(frame).await,
                    None => {
                        // The core has closed it. How that went does not matter to it.
                        let _ = socket.close(None).await;
                        return Input::closed(transport, None);
                    }
                };
                if let Err(error) = sent {
                    return Input::closed(transport, Some(lost(&error)));
                }
            }
            message = socket.next() => {
                let bytes = match message {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_))) => {
                        event = Some(Input::activity(transport));
                        continue;
                    }
                    Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => {
                        return Input::closed(transport, None);
                    }
                    Some(Err(error)) => {
                        return Input::closed(transport, Some(lost(&error)));
                    }
                };
                event = match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => Some(Input::received(transport, frame)),
                    Err(error) => {
                        let error = ErrorInfo::from(&error);
                        return Input::closed(transport, Some(error));
                    }
                };
            }
        }
    }
}

/// A transport's error in the protocol's terms: disconnected.
fn lost(error: &SocketError) -> ErrorInfo {
    ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, error.to_string())
}

/// The lines that are typed, read by a thread because a terminal cannot be read asynchronously.
fn typed_lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// The terminal: colours where there are colours, and plain lines in a pipe.
struct Screen {
    colors: bool,
}

#[derive(Clone, Copy)]
enum Color {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Screen {
    fn new() -> Self {
        let colors = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colors }
    }

    /// Fails if there is nobody to read any more.
    fn say(&self, color: Color, line: &str) -> io::Result<()> {
        let (line, mut out) = (printable(line), io::stdout().lock());
        if self.colors {
            // From the left edge: over the ^C that a terminal shows.
            writeln!(out, "\r\x1b[{}m{line}\x1b[0m", color as u8)
        } else {
            writeln!(out, "{line}")
        }
    }

    fn connection(&self, change: &ConnectionStateChange) -> io::Result<()> {
        let color = match change.current {
            ConnectionState::Connected => Color::Green,
            ConnectionState::Failed => return Ok(()),
            ConnectionState::Disconnected | ConnectionState::Suspended => Color::Yellow,
            _ => Color::Dim,
        };
        let retry = match change.retry_in {
            Some(delay) if !delay.is_zero() => {
                format!(", next try in {:.0} s", delay.as_secs_f64())
            }
            Some(_) => ", trying again".into(),
            None => String::new(),
        };
        let reason = in_brackets(change.reason.as_ref());
        self.say(color, &format!("{}{retry}{reason}", change.current))
    }

    fn other(&self, output: &Output) -> io::Result<()> {
        match output {
            Output::Channel(output::Channel { channel, change, .. }) => {
                let reason = in_brackets(change.reason.as_ref());
                self.say(Color::Dim, &format!("{channel} {}{reason}", change.current))
            }
            Output::Done(output::Done { op, result: Err(error), .. }) => {
                let what = match *op {
                    SUBSCRIBE => "subscribe",
                    ENTER => "enter",
                    _ => "update",
                };
                self.say(Color::Red, &format!("could not {what}: {error}"))
            }
            Output::Warning(warning) => self.say(Color::Red, &warning.to_string()),
            Output::Misuse(misuse) => self.say(Color::Red, &format!("a bug here: {misuse}")),
            _ => Ok(()),
        }
    }

    fn member(&self, message: &PresenceMessage) -> io::Result<()> {
        let (color, verb) = match message.action {
            PresenceAction::Enter => (Color::Green, "entered"),
            PresenceAction::Update => (Color::Yellow, "changed"),
            PresenceAction::Leave => (Color::Red, "left"),
            _ => (Color::Green, "is present"),
        };
        let who = message.client_id.as_deref().unwrap_or("somebody");
        let what = match &message.data {
            None => String::new(),
            Some(Data::String(text)) => format!(": {text}"),
            Some(other) => format!(": {other:?}"),
        };
        self.say(color, &format!("{who} {verb}{what}"))
    }
}

fn in_brackets(reason: Option<&ErrorInfo>) -> String {
    reason.map(|error| format!(" ({})", error.message)).unwrap_or_default()
}

/// Others choose their names and data: nothing of it may steer this terminal, or turn its text
/// around.
fn printable(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}
