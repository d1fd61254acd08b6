//! Puts a presence server on this machine under load, and reports deliveries and latency.
//!
//! ```text
//! cargo run --release -p presence-server -- --port 8080 &
//! cargo run --release -p presence-bench --example load -- --connections 1000 --server-pid $!
//! ```
//!
//! The connections enter rooms. Then members update their data at a fixed rate; each update is
//! delivered to everybody in the room. The data is the time of sending, which gives the latency of
//! each delivery. With the server's process id it also reports processor time and memory.
//!
//! Everything is bounded, and the program ends by itself. Only addresses of this machine are allowed.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "common/target.rs"]
mod target;

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use presence_proto::wire::{Action, Format, PresenceAction, PresenceMessage, ProtocolMessage};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use target::Target;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Time limit of each step.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections that are opened at the same time.
const AT_ONCE: usize = 32;
/// Files that are open beside the connections.
const OTHER_FILES: usize = 64;
/// Updates that wait to be sent by one connection.
const WAITING: usize = 16;

type Failure = Box<dyn Error + Send + Sync>;
type Socket = WebSocketStream<TcpStream>;

/// Puts a presence server on this machine under load.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    target: Target,
    /// How many connections.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    connections: u32,
    /// How many of them are in one room.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    room: u32,
    /// Updates in a second, by all members together.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    updates: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=120))]
    seconds: u32,
    /// The server's process, whose processor time and memory are then told (Linux).
    #[arg(long)]
    server_pid: Option<u32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<(), Failure> {
    let connections = args.connections as usize;
    if let Some(limit) = open_files().filter(|limit| *limit < connections + OTHER_FILES) {
        let wanted = connections + OTHER_FILES;
        return Err(format!("{limit} open files are allowed; try: ulimit -n {wanted}").into());
    }
    let start = Instant::now();
    let before = args.server_pid.and_then(Usage::of);
    let (stop, stopped) = watch::channel(false);
    let mut members = Vec::with_capacity(connections);
    while members.len() < connections {
        let first = members.len();
        let batch = (first..connections.min(first + AT_ONCE))
            .map(|number| timeout(PATIENCE, Member::enter(args, number, start, stopped.clone())));
        for member in futures_util::future::join_all(batch).await {
            members.push(member??);
        }
    }
    let entered_in = start.elapsed();
    // What entering set off has to settle.
    sleep(Duration::from_secs(2)).await;
    let entered = args.server_pid.and_then(Usage::of);

    let measured = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / args.updates);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let updates = args.updates as usize * args.seconds as usize;
    let mut sent = 0usize;
    for number in 0..updates {
        ticks.tick().await;
        // Neighbours are of different rooms.
        let member = number.wrapping_mul(args.room as usize + 1) % connections;
        // One that cannot send as fast leaves an update out, and it does not count.
        sent += usize::from(members[member].updates.try_send(()).is_ok());
    }
    // What is under way arrives.
    sleep(Duration::from_secs(2)).await;
    let elapsed = measured.elapsed() - Duration::from_secs(2);
    let after = args.server_pid.and_then(Usage::of);

    stop.send_replace(true);
    let mut latencies = Vec::new();
    for member in members {
        latencies.extend(timeout(PATIENCE, member.task).await???);
    }
    latencies.sort_unstable();

    println!("connections held     {connections}, in rooms of {}", args.room);
    println!("members entered      {connections} in {:.1} s", entered_in.as_secs_f64());
    println!("updates              {sent} in {:.1} s", elapsed.as_secs_f64());
    println!(
        "deliveries           {} of {}, {:.0} a second",
        latencies.len(),
        sent * args.room.min(args.connections) as usize,
        latencies.len() as f64 / elapsed.as_secs_f64()
    );
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let at = ((latencies.len() as f64 * share) as usize).min(latencies.len().max(1) - 1);
        let micros = latencies.get(at).copied().unwrap_or_default();
        println!("latency {name}          {:.2} ms", f64::from(micros) / 1e3);
    }
    if let (Some(before), Some(entered), Some(after)) = (before, entered, after) {
        let cpu = (after.cpu - entered.cpu).as_secs_f64();
        println!("server's processor   {cpu:.2} s for the updates");
        println!(
            "                     {:.0} deliveries a second of it",
            latencies.len() as f64 / cpu
        );
        let entering = (entered.cpu - before.cpu).as_secs_f64();
        println!("                     {entering:.2} s to open and enter");
        let memory = entered.memory.saturating_sub(before.memory) / connections as u64;
        println!("server's memory      {memory} bytes a connection");
    }
    Ok(())
}

/// A connection with one member.
struct Member {
    updates: mpsc::Sender<()>,
    /// In the end, the latency of every delivery in microseconds.
    task: tokio::task::JoinHandle<Result<Vec<u32>, Failure>>,
}

impl Member {
    async fn enter(
        args: &Args,
        number: usize,
        start: Instant,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let stream = TcpStream::connect(args.target.server).await?;
        stream.set_nodelay(true)?;
        let url = format!(
            "ws://{}/?v=2&format=json&clientId=load-{number}&key={}",
            args.target.server, args.target.key
        );
        let (mut socket, _) = client_async(url, stream).await?;
        expect(&mut socket, Action::Connected).await?;
        let channel = format!("load-{}", number / args.room as usize);
        send(&mut socket, &ProtocolMessage::on_channel(Action::Attach, channel.as_str())).await?;
        expect(&mut socket, Action::Attached).await?;
        send(&mut socket, &presence(&channel, PresenceAction::Enter, 0, "")).await?;
        expect(&mut socket, Action::Ack).await?;
        let (updates, waiting) = mpsc::channel(WAITING);
        let task = tokio::spawn(update(socket, channel, start, waiting, stop));
        Ok(Self { updates, task })
    }
}

/// Updates when told to, and notes the latency of what comes in.
async fn update(
    mut socket: Socket,
    channel: String,
    start: Instant,
    mut waiting: mpsc::Receiver<()>,
    mut stop: watch::Receiver<bool>,
) -> Result<Vec<u32>, Failure> {
    let mut latencies = Vec::new();
    let mut serial = 1;
    loop {
        tokio::select! {
            message = socket.next() => {
                let message = message.ok_or("the server has closed a connection")??;
                if let Message::Text(text) = message
                    && let Some(sent) = time_in(&text)
                {
                    let now = start.elapsed().as_micros() as u64;
                    latencies.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
                }
            }
            Some(()) = waiting.recv() => {
                let now = format!("at {}", start.elapsed().as_micros());
                send(&mut socket, &presence(&channel, PresenceAction::Update, serial, &now)).await?;
                serial += 1;
            }
            _ = stop.changed() => return Ok(latencies),
        }
    }
}

/// The time in the data of an update. Frames are not decoded: the load must cost less than the
/// server.
fn time_in(text: &str) -> Option<u64> {
    const UPDATE: &str = "\"presence\":[{\"action\":4,";
    const MARK: &str = "\"data\":\"at ";
    if !text.contains(UPDATE) {
        return None;
    }
    let rest = text.get(text.find(MARK)? + MARK.len()..)?;
    rest.split('"').next()?.parse().ok()
}

fn presence(channel: &str, action: PresenceAction, serial: i64, data: &str) -> ProtocolMessage {
    let item = PresenceMessage::new(action).with_data(data);
    let mut frame = ProtocolMessage::presence(channel, vec![item]);
    frame.msg_serial = Some(serial);
    frame
}

async fn send(socket: &mut Socket, frame: &ProtocolMessage) -> Result<(), Failure> {
    let text = Utf8Bytes::try_from(frame.encode(Format::Json))?;
    Ok(socket.send(Message::Text(text)).await?)
}

/// Reads until a frame with this action comes.
async fn expect(socket: &mut Socket, action: Action) -> Result<(), Failure> {
    while let Some(message) = socket.next().await {
        let Message::Text(text) = message? else { continue };
        let frame = ProtocolMessage::decode(Format::Json, text.as_bytes())?;
        if frame.action == action {
            return Ok(());
        }
        if let Some(error) = frame.error {
            return Err(format!("{action:?} was waited for, {error:?} came").into());
        }
    }
    Err("the server has closed a connection".into())
}

/// How many files this process may open, if the system tells.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// What a process has used.
struct Usage {
    cpu: Duration,
    memory: u64,
}

impl Usage {
    fn of(process: u32) -> Option<Self> {
        let mut nanos = 0;
        for thread in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
            // A thread may have ended meanwhile.
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat"));
            let first = text.unwrap_or_default();
            nanos += first.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(Self { cpu: Duration::from_nanos(nanos), memory: kilobytes * 1024 })
    }
}
