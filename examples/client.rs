//! A presence client for the terminal, on tokio.
//!
//! ```text
//! cargo run --example client -- --url ws://127.0.0.1:8080 --key dev.key:secret \
//!     --client-id ann --channel lobby --data "looking around"
//! ```
//!
//! It enters the channel and shows who is present as that changes. When the connection is lost it
//! connects again and enters again, all by the core. A line that you type becomes the member's
//! data. Ctrl-C leaves and closes; a second one does not wait for the server.
//!
//! The driver is the loop in [`run`]: whatever happens becomes an [`Input`], and every
//! [`Output`] is done before the next input. Everything else is sockets and the screen.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Outcome, Output};
use presence_proto::client::{ConnectionEvent, ConnectionState, ConnectionStateChange};
use presence_proto::wire::{Data, ErrorInfo, Format, Params, PresenceAction};
use presence_proto::wire::{PresenceMessage, ProtocolMessage};
use presence_proto::{Instant, Now, OpId, SubscriptionId, TransportId, UnixMillis};
use std::collections::VecDeque;
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Bytes, Error as SocketError, Message};

/// How long to wait for a transport to open; the core gives up at about the same time (TO3l11).
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames and typed lines that may wait for the loop. Whoever is faster than that waits.
const QUEUE: usize = 64;
/// The one operation whose outcome matters to the flow of this program.
const LEAVE: OpId = OpId(0);

/// A presence client: enters a channel and shows who is there.
#[derive(Parser)]
struct Args {
    /// Where the server is.
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
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

fn format_of(name: &str) -> Result<Format, String> {
    [Format::Json, Format::MessagePack]
        .into_iter()
        .find(|format| format.name() == name)
        .ok_or_else(|| "json or msgpack".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new();
    match run(&args, &screen).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.say(Color::Red, &format!("failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The driver. Ends when the connection is closed, or has failed for good.
async fn run(args: &Args, screen: &Screen) -> Result<(), ErrorInfo> {
    let mut options = ClientOptions::default();
    options.client_id = Some(args.client_id.as_str().into());
    options.format = args.format;
    options.token = args.token.as_deref().map(Into::into);
    // tungstenite shows pings, so the server need not send heartbeat frames (RTN23b).
    options.observes_pings = true;
    let seed = getrandom::u64().expect("the operating system has randomness");
    let mut core = Client::new(options, seed);
    let mut out = Outbox::new();
    let clock = Clock::start();

    let (events, mut happened) = mpsc::channel::<Input>(QUEUE);
    let mut lines = typed_lines();
    let mut transport = None;
    let mut leaving = false;
    let mut op = LEAVE.0;
    let mut next_op = || {
        op += 1;
        OpId(op)
    };

    let data = args.data.as_deref().map(|text| Data::String(text.into()));
    let mut todo = VecDeque::from([
        Input::Connect,
        Input::subscribe(next_op(), args.channel.as_str(), SubscriptionId(1)),
    ]);
    if !args.watch {
        todo.push_back(Input::enter(next_op(), args.channel.as_str(), data));
    }

    loop {
        // A tick is what is left when nothing else has happened.
        let wake = core.handle(clock.now(), todo.pop_front().unwrap_or(Input::Tick), &mut out);

        let mut roster_changed = false;
        for output in out.drain() {
            match output {
                Output::OpenTransport { transport: id, params } => {
                    transport = Some(Transport::open(id, args, &params, events.clone()));
                }
                Output::CloseTransport { transport: id } => {
                    // Dropped, it sends what it has and closes.
                    transport = transport.filter(|open: &Transport| open.id != id);
                }
                Output::Send { transport: id, frame } => {
                    if let Some(open) = transport.as_ref().filter(|open| open.id == id) {
                        open.send(&frame);
                    }
                }
                Output::Connection(change) => {
                    screen.connection(&change);
                    match change.event {
                        ConnectionEvent::State(ConnectionState::Closed) => return Ok(()),
                        ConnectionEvent::State(ConnectionState::Failed) => {
                            return Err(change.reason.unwrap_or_default());
                        }
                        _ => {}
                    }
                }
                Output::Channel { channel, change } => {
                    let reason = change.reason.map(|e| format!(": {e}")).unwrap_or_default();
                    screen.say(Color::Dim, &format!("{channel} {}{reason}", change.current));
                }
                Output::Presence { message, .. } | Output::PresenceFor { message, .. } => {
                    screen.member(&message);
                    roster_changed |= message.action != PresenceAction::Update;
                }
                Output::Done { op: LEAVE, result } => {
                    if let Err(error) = result {
                        screen.say(Color::Red, &format!("could not leave: {error}"));
                    }
                    todo.push_back(Input::Close);
                }
                Output::Done { result: Ok(Outcome::Done), .. } => {}
                Output::Done { result: Err(error), .. } => {
                    screen.say(Color::Red, &format!("not done: {error}"));
                }
                Output::TokenRequired => {
                    let error = ErrorInfo::new(40171, 401, "the token has expired; start again");
                    todo.push_back(Input::Token(Err(error)));
                }
                Output::Warning(warning) => screen.say(Color::Red, &format!("{warning:?}")),
                other => screen.say(Color::Dim, &format!("{other:?}")),
            }
        }
        if roster_changed && let Some(channel) = core.channel(&args.channel) {
            let mut names: Vec<_> = channel.members().map(|m| m.client_id().clone()).collect();
            names.sort_unstable();
            screen.say(Color::Bold, &format!("present ({}): {}", names.len(), names.join(", ")));
        }
        if !todo.is_empty() {
            continue;
        }

        tokio::select! {
            // Never empty-handed for good: this function holds a sender itself.
            Some(input) = happened.recv() => todo.push_back(input),
            Some(line) = lines.recv(), if !leaving => {
                let data = Some(Data::String(line.into()));
                todo.push_back(Input::update(next_op(), args.channel.as_str(), data));
            }
            _ = tokio::signal::ctrl_c() => {
                if leaving {
                    return Ok(());
                }
                leaving = true;
                screen.say(Color::Dim, "leaving…");
                todo.push_back(if core.connection().state() == ConnectionState::Connected && !args.watch {
                    Input::leave(LEAVE, args.channel.as_str(), None)
                } else {
                    Input::Close
                });
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
        Ok(Err(error)) => return Input::TransportFailed { transport, error: Some(lost(&error)) },
        Err(_) => {
            let error = Some(ErrorInfo::new(80003, 504, "no answer from the server"));
            return Input::TransportFailed { transport, error };
        }
    };
    let mut event = Some(Input::TransportOpened { transport });
    loop {
        if let Some(event) = event.take()
            && events.send(event).await.is_err()
        {
            return Input::TransportClosed { transport, error: None };
        }
        tokio::select! {
            frame = frames.recv() => {
                let sent = match frame {
                    Some(frame) => socket.send(frame).await,
                    None => {
                        // The core has closed it. How that went does not matter to it.
                        let _ = socket.close(None).await;
                        return Input::TransportClosed { transport, error: None };
                    }
                };
                if let Err(error) = sent {
                    return Input::TransportClosed { transport, error: Some(lost(&error)) };
                }
            }
            message = socket.next() => {
                let bytes = match message {
                    Some(Ok(Message::Text(text))) => Bytes::from(text),
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Ping(_))) => {
                        event = Some(Input::TransportActivity { transport });
                        continue;
                    }
                    Some(Ok(Message::Pong(_) | Message::Frame(_))) => continue,
                    Some(Ok(Message::Close(_))) | None => {
                        return Input::TransportClosed { transport, error: None };
                    }
                    Some(Err(error)) => {
                        return Input::TransportClosed { transport, error: Some(lost(&error)) };
                    }
                };
                event = match ProtocolMessage::decode(format, &bytes) {
                    Ok(frame) => Some(Input::Received { transport, frame }),
                    Err(error) => {
                        let error = ErrorInfo::from(&error);
                        return Input::TransportClosed { transport, error: Some(error) };
                    }
                };
            }
        }
    }
}

/// A transport's error in the protocol's terms: disconnected.
fn lost(error: &SocketError) -> ErrorInfo {
    ErrorInfo::new(80003, 400, error.to_string())
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

/// The clocks. The core has none: they are read here, once for each call.
struct Clock {
    start: std::time::Instant,
}

#[allow(clippy::disallowed_methods, reason = "a driver is where the clocks are read")]
impl Clock {
    fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    fn now(&self) -> Now {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Now::new(
            Instant::from_millis(millis(self.start.elapsed())),
            UnixMillis::from_millis(millis(wall.unwrap_or_default()).cast_signed()),
        )
    }
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

    fn say(&self, color: Color, line: &str) {
        if self.colors {
            println!("\x1b[{}m{}\x1b[0m", color as u8, printable(line));
        } else {
            println!("{}", printable(line));
        }
    }

    fn connection(&self, change: &ConnectionStateChange) {
        let color = match change.current {
            ConnectionState::Connected => Color::Green,
            ConnectionState::Failed => return,
            ConnectionState::Disconnected | ConnectionState::Suspended => Color::Yellow,
            _ => Color::Dim,
        };
        let reason = change.reason.as_ref().map(|e| format!(": {e}")).unwrap_or_default();
        let retry = match change.retry_in {
            Some(delay) if !delay.is_zero() => {
                format!("; next try in {:.1} s", delay.as_secs_f64())
            }
            Some(_) => "; trying again".into(),
            None => String::new(),
        };
        self.say(color, &format!("{}{reason}{retry}", change.current));
    }

    fn member(&self, message: &PresenceMessage) {
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
        self.say(color, &format!("{who} {verb}{what}"));
    }
}

/// Others choose their names and data: nothing of it may steer this terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
