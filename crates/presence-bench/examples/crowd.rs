//! How long does a newcomer wait until it knows everybody in a crowd?
//!
//! ```text
//! cargo run --release -p presence-server -- --port 8080 --max-members 1000000 &
//! cargo run --release -p presence-bench --example crowd -- --members 1000000
//! ```
//!
//! One connection enters the members, no faster than a server accepts them on one channel. Then
//! subscribers connect one after the other, with the client half of this crate, over a WebSocket.
//! Reported is the time from the connection attempt to the end of the sync, with an event for each
//! member. A subscriber that does not receive each member exactly once is a failure.
//!
//! Only addresses of this machine are allowed.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "common/target.rs"]
mod target;

use clap::Parser;
use presence_proto::client::{Client, ClientOptions, Input, Outbox, Output, output};
use presence_proto::wire::{
    Action, Flags, Format, Params, PresenceAction, PresenceMessage, ProtocolMessage,
};
use presence_proto::{Clock, OpId, SubscriptionId};
use std::collections::VecDeque;
use std::error::Error;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Target;
use tungstenite::{Bytes, Message, WebSocket};

type Failure = Box<dyn Error>;

const CHANNEL: &str = "crowd";
/// Members that enter with one frame.
const TOGETHER: usize = 100;
/// Time for each frame of them: 10,000 members a second are what servers take for one channel,
/// unless they are told otherwise ([`Limits`](presence_proto::server::Limits)).
const PACE: Duration = Duration::from_millis(10);
/// Who hears nothing for so long has been forgotten.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures how long a newcomer waits until it knows everybody in a crowd.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    target: Target,
    /// How many members. The server has to allow as many: --max-members.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    members: u32,
    /// How many newcomers there are in each format.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    newcomers: u32,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let start = Instant::now();
    let mut crowd = gather(args)?;
    // Its members stay for as long as it answers pings.
    std::thread::spawn(move || while crowd.receive(PATIENCE).is_ok() {});
    println!("{} members entered in {:.1} s", args.members, start.elapsed().as_secs_f64());
    for format in [Format::Json, Format::MessagePack] {
        for _ in 0..args.newcomers {
            let start = Instant::now();
            let bytes = join(args, format)?;
            let seconds = start.elapsed().as_secs_f64();
            println!("{:12} synced in {seconds:.3} s, {} KB", format.name(), bytes / 1024);
        }
    }
    Ok(())
}

/// Enters all members on one connection, which hears nothing of them.
fn gather(args: &Args) -> Result<Transport, Failure> {
    let format = Format::MessagePack;
    let params = vec![("v".into(), "2".into()), ("format".into(), format.name().into())];
    let mut transport = Transport::open(args, format, &params)?;
    transport.expect(Action::Connected)?;
    let mut attach = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
    attach.flags = Some(Flags::PRESENCE);
    transport.send(&attach)?;
    transport.expect(Action::Attached)?;
    let numbers: Vec<u32> = (0..args.members).collect();
    let start = Instant::now();
    for (serial, numbers) in (0u32..).zip(numbers.chunks(TOGETHER)) {
        let due = start + PACE * serial;
        while let Some(delay) = due.checked_duration_since(Instant::now()) {
            // Nothing is expected, but pings are answered.
            transport.receive(delay)?;
        }
        let enter = |number: &u32| {
            PresenceMessage::new(PresenceAction::Enter)
                .with_client_id(format!("crowd-{number}"))
                .with_data("looking around here")
        };
        let items: Vec<_> = numbers.iter().map(enter).collect();
        let mut frame = ProtocolMessage::presence(CHANNEL, items);
        frame.msg_serial = Some(i64::from(serial));
        transport.send(&frame)?;
        transport.expect(Action::Ack)?;
    }
    Ok(transport)
}

/// Connects a client, and subscribes. Returns how many bytes it received until it knew everybody.
fn join(args: &Args, format: Format) -> Result<usize, Failure> {
    let mut options = ClientOptions::default();
    options.client_id = Some("newcomer".into());
    options.format = format;
    options.observes_pings = true;
    let mut core = Client::new(options, getrandom::u64()?);
    let mut out = Outbox::new();
    let clock = Clock::start();
    let mut open: Option<(_, Transport)> = None;
    let subscribe = Input::subscribe(OpId(1), CHANNEL, SubscriptionId(1));
    let mut todo = VecDeque::from([Input::Connect, subscribe]);
    let mut told = 0;
    loop {
        let wake = core.handle(clock.now(), todo.pop_front().unwrap_or(Input::Tick), &mut out);
        for output in out.drain() {
            match output {
                Output::Open(output::Open { transport, params, .. }) => {
                    open = Some((transport, Transport::open(args, format, &params)?));
                    todo.push_back(Input::opened(transport));
                }
                Output::Send(output::Send { frame, .. }) => {
                    if let Some((_, transport)) = &mut open {
                        transport.send(&frame)?;
                    }
                }
                Output::Presence(_) => told += 1,
                Output::Connection(change) => {
                    if let Some(reason) = change.reason {
                        return Err(reason.into());
                    }
                }
                Output::Done(output::Done { result: Err(error), .. }) => return Err(error.into()),
                _ => {}
            }
        }
        if let Some(channel) = core.channel(CHANNEL).filter(|channel| channel.sync_complete()) {
            let found = channel.members().count();
            let wanted = args.members as usize;
            if (found, told) != (wanted, wanted) {
                return Err(format!("{found} members found, {told} told, of {wanted}").into());
            }
            return Ok(open.map_or(0, |(_, transport)| transport.received));
        }
        if let Some((id, transport)) = &mut open
            && todo.is_empty()
        {
            let delay = wake.delay(clock.now()).unwrap_or(PATIENCE);
            if let Some(frame) = transport.receive(delay)? {
                todo.push_back(Input::received(*id, frame));
            }
        }
    }
}

/// A WebSocket that frames travel on.
struct Transport {
    socket: WebSocket<TcpStream>,
    format: Format,
    /// Bytes of frames.
    received: usize,
}

impl Transport {
    fn open(args: &Args, format: Format, params: &Params) -> Result<Self, Failure> {
        let mut url = url::Url::parse(&format!("ws://{}", args.target.server))?;
        url.query_pairs_mut().extend_pairs(params).append_pair("key", &args.target.key);
        let stream = TcpStream::connect(args.target.server)?;
        stream.set_nodelay(true)?;
        let (socket, _response) = tungstenite::client(url.as_str(), stream)?;
        Ok(Self { socket, format, received: 0 })
    }

    fn send(&mut self, frame: &ProtocolMessage) -> Result<(), Failure> {
        let bytes = Bytes::from(frame.encode(self.format));
        Ok(self.socket.send(match self.format {
            Format::Json => Message::Text(bytes.try_into()?),
            Format::MessagePack => Message::Binary(bytes),
        })?)
    }

    /// The next frame, if there is one before `delay` has passed.
    fn receive(&mut self, delay: Duration) -> Result<Option<ProtocolMessage>, Failure> {
        // A time-out of nothing is none at all.
        self.socket.get_ref().set_read_timeout(Some(delay.max(Duration::from_millis(1))))?;
        let bytes = match self.socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => message.into_data(),
            Ok(_) => return Ok(None),
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        self.received += bytes.len();
        Ok(Some(ProtocolMessage::decode(self.format, &bytes)?))
    }

    /// Reads until a frame with this action comes.
    fn expect(&mut self, action: Action) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let Some(frame) = self.receive(PATIENCE)? else { continue };
            if let Some(error) = frame.error {
                return Err((*error).into());
            }
            if frame.action == action {
                return Ok(());
            }
        }
        Err(format!("{action:?} did not come").into())
    }
}
