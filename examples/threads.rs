//! A presence client on threads and blocking sockets, without a runtime.
//!
//! ```text
//! cargo run --example threads -- ws://127.0.0.1:8080 dev.key:development-only ann lobby
//! ```
//!
//! Three threads: this one owns the core, one waits for the socket, one for the keyboard. They
//! meet in a channel of events; the core's [`Wake`](presence_proto::Wake) is the time-out of
//! `recv_timeout`. A line that you type becomes the member's data; the end of the input (Ctrl-D)
//! closes the connection, which makes its member leave at once. Ctrl-C ends the program as a crash
//! would: others see the member until its grace is over.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

use presence_proto::client::{
    Client, ClientOptions, ConnectionState, Input, Outbox, Output, output,
};
use presence_proto::wire::{Data, ErrorInfo, Format, ProtocolMessage, codes};
use presence_proto::{Clock, OpId, SubscriptionId, TransportId};
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const QUEUE: usize = 64;

/// What the other threads tell this one.
enum Event {
    Input(Input),
    /// A transport is open; this is the end of it to write to.
    Opened(TransportId, WebSocket<Half>),
    Line(String),
    EndOfLines,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, key, client_id, channel] = arguments.as_slice() else {
        eprintln!("usage: threads URL KEY CLIENT_ID CHANNEL");
        return ExitCode::from(2);
    };
    let Ok(url) = url::Url::parse_with_params(url, [("key", key)]) else {
        eprintln!("not a URL: {url}");
        return ExitCode::from(2);
    };

    let mut options = ClientOptions::default();
    options.client_id = Some(client_id.as_str().into());
    options.format = Format::Json;
    options.observes_pings = true;
    let mut core = Client::new(options, getrandom::u64().expect("randomness"));
    let mut out = Outbox::new();
    let clock = Clock::start();

    let (sender, events) = mpsc::sync_channel(QUEUE);
    read_lines(sender.clone());

    let mut socket: Option<(TransportId, WebSocket<Half>)> = None;
    core.handle(clock.now(), Input::Connect, &mut out);
    let watch = Input::subscribe(OpId(1), channel.as_str(), SubscriptionId(1));
    core.handle(clock.now(), watch, &mut out);
    let mut input = Input::enter(OpId(2), channel.as_str(), None);
    loop {
        // What an earlier call returned does not count any more.
        let wake = core.handle(clock.now(), input, &mut out);

        for output in out.drain() {
            match output {
                Output::Open(output::Open { transport, params, .. }) => {
                    socket = None;
                    let mut url = url.clone();
                    url.query_pairs_mut().extend_pairs(&params);
                    let sender = sender.clone();
                    std::thread::spawn(move || read_frames(transport, &url, &sender));
                }
                Output::Close(output::Close { transport, .. }) => {
                    if let Some((id, mut open)) = socket.take_if(|(id, _)| *id == transport) {
                        debug_assert_eq!(id, transport);
                        // Its reader ends when the server closes its side too, or at once if
                        // the socket is broken.
                        let _ = open.close(None).and_then(|()| open.flush());
                        open.get_ref().hang_up();
                    }
                }
                Output::Send(output::Send { transport, frame, .. }) => {
                    if let Some((id, open)) = &mut socket
                        && *id == transport
                    {
                        let text = String::from_utf8(frame.encode(Format::Json));
                        let message = Message::text(text.expect("JSON is UTF-8"));
                        if open.send(message).is_err() {
                            // The reader sees that too, and tells.
                            open.get_ref().hang_up();
                        }
                    }
                }
                Output::Connection(change) => {
                    let reason = change.reason.map(|e| format!(": {e}")).unwrap_or_default();
                    println!("{}{reason}", change.current);
                    match change.current {
                        ConnectionState::Closed => return ExitCode::SUCCESS,
                        ConnectionState::Failed => return ExitCode::FAILURE,
                        _ => {}
                    }
                }
                Output::Presence(output::Presence { message, .. }) => {
                    // As Rust would write it: what others say cannot steer the terminal.
                    let who = message.client_id.unwrap_or_default();
                    let what = message.data.as_ref().and_then(Data::as_str).unwrap_or_default();
                    println!("{:?} {who:?} {what:?}", message.action);
                }
                Output::Done(output::Done { op, result: Err(error), .. }) => {
                    println!("operation {}: {error}", op.0)
                }
                Output::Warning(warning) => println!("{:?}", warning.to_string()),
                _ => {}
            }
        }

        let event = match wake.delay(clock.now()) {
            Some(delay) => events.recv_timeout(delay),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        input = match event {
            Ok(Event::Input(input)) => input,
            Ok(Event::Opened(transport, half)) => {
                socket = Some((transport, half));
                Input::opened(transport)
            }
            Ok(Event::Line(line)) => {
                Input::update(OpId(3), channel.as_str(), Some(Data::String(line.into())))
            }
            Ok(Event::EndOfLines) => Input::Close,
            Err(RecvTimeoutError::Timeout) => Input::Tick,
            Err(RecvTimeoutError::Disconnected) => unreachable!("this thread holds a sender"),
        };
    }
}

/// The thread of a transport: opens it, then waits for frames until it is closed.
fn read_frames(transport: TransportId, url: &url::Url, events: &SyncSender<Event>) {
    let tell = |event| events.send(event).is_ok();
    let mut socket = match open(url) {
        Ok(socket) => socket,
        Err(error) => {
            let error =
                Some(ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, error.to_string()));
            tell(Event::Input(Input::open_failed(transport, error)));
            return;
        }
    };
    let other_end = match socket.get_ref().split() {
        Ok(half) => WebSocket::from_raw_socket(half, Role::Client, None),
        Err(error) => {
            let error =
                Some(ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, error.to_string()));
            tell(Event::Input(Input::open_failed(transport, error)));
            return;
        }
    };
    let mut going = tell(Event::Opened(transport, other_end));
    let mut error = None;
    while going {
        let input = match socket.read() {
            Ok(Message::Text(text)) => match ProtocolMessage::decode(Format::Json, text.as_bytes())
            {
                Ok(frame) => Input::received(transport, frame),
                Err(undecodable) => {
                    error = Some(ErrorInfo::from(&undecodable));
                    break;
                }
            },
            Ok(Message::Ping(_)) => Input::activity(transport),
            Ok(_) => continue,
            Err(tungstenite::Error::ConnectionClosed) => break,
            Err(broken) => {
                error =
                    Some(ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, broken.to_string()));
                break;
            }
        };
        going = tell(Event::Input(input));
    }
    socket.get_ref().hang_up();
    tell(Event::Input(Input::closed(transport, error)));
}

fn open(url: &url::Url) -> Result<WebSocket<Half>, Box<dyn std::error::Error>> {
    let address = url.socket_addrs(|| Some(80))?;
    let stream = TcpStream::connect(address.as_slice())?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let half = Half { read: stream.try_clone()?, write: Arc::new(Mutex::new(stream)) };
    let (socket, _response) = tungstenite::client(url.as_str(), half)?;
    Ok(socket)
}

/// A socket that two threads share: one reads (and answers pings), the other writes.
///
/// tungstenite hands whole frames to `write`. As `write` takes all of it under a lock, frames of
/// the two never mix.
struct Half {
    read: TcpStream,
    write: Arc<Mutex<TcpStream>>,
}

impl Half {
    fn split(&self) -> io::Result<Self> {
        Ok(Self { read: self.read.try_clone()?, write: Arc::clone(&self.write) })
    }

    fn hang_up(&self) {
        // Fails only if it is down already.
        let _ = self.read.shutdown(Shutdown::Both);
    }
}

impl Read for Half {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read.read(buffer)
    }
}

impl Write for Half {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self.write.lock().map_err(|_| io::ErrorKind::BrokenPipe)?;
        stream.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read_lines(events: SyncSender<Event>) {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if events.send(Event::Line(line)).is_err() {
                return;
            }
        }
        // Nobody listens any more if the program has ended.
        let _ = events.send(Event::EndOfLines);
    });
}
