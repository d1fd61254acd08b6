//! A game that polls its presence client once a frame: no threads for it, no runtime, no waiting.
//!
//! ```text
//! cargo run --example game_loop -- ws://127.0.0.1:8080 dev.key:development-only ann arena
//! ```
//!
//! Every player is a member whose data is a position. Players walk by themselves; run it in two
//! terminals to see them meet. `--frames N` as the last argument ends the game after so many frames:
//! it closes the connection, and the player leaves at once. Ctrl-C ends it as a crash would: others
//! see the player stand still until its grace is over.
//!
//! A frame of the game takes what the socket has, hands it to the core, ticks the core once, and
//! draws. [`Wake`](presence_proto::Wake) is not needed: a tick that comes too often is harmless.

#![allow(clippy::std_instead_of_core, reason = "a program on std says std")]

use presence_proto::client::{
    Client, ClientOptions, ConnectionState, Input, Outbox, Output, output,
};
use presence_proto::wire::{Data, ErrorInfo, Format, ProtocolMessage, codes};
use presence_proto::{Clock, OpId, SubscriptionId, TransportId};
use std::io::{ErrorKind, IsTerminal};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;
use tungstenite::{Error, Message, WebSocket};

const FRAME: Duration = Duration::from_millis(33);
/// A server takes some dozens of presence messages a second; a step every sixth frame is five.
const FRAMES_PER_STEP: u32 = 6;
const WIDTH: usize = 48;
const HEIGHT: usize = 12;

const ENTER: OpId = OpId(1);
const STEP: OpId = OpId(2);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let last_frame = match arguments.iter().position(|a| a == "--frames") {
        Some(at) => arguments.split_off(at).get(1).and_then(|n| n.parse().ok()),
        None => Some(u32::MAX),
    };
    let ([url, key, name, arena], Some(last_frame)) = (arguments.as_slice(), last_frame) else {
        eprintln!("usage: game_loop URL KEY NAME ARENA [--frames N]");
        return ExitCode::from(2);
    };
    let Ok(url) = url::Url::parse_with_params(url, [("key", key)]) else {
        eprintln!("not a URL: {url}");
        return ExitCode::from(2);
    };

    let seed = getrandom::u64().expect("randomness");
    let mut game = Game {
        network: Network::new(name, seed, url),
        arena: arena.clone(),
        player: Player::new(seed),
        screen: std::io::stdout().is_terminal(),
    };
    game.start();
    for frame in 0_u32.. {
        match game.network.poll() {
            ConnectionState::Closed => return ExitCode::SUCCESS,
            ConnectionState::Failed => return ExitCode::FAILURE,
            _ => {}
        }
        if frame < last_frame && frame % FRAMES_PER_STEP == 0 {
            game.step();
        }
        if frame == last_frame {
            game.network.tell(Input::Close);
        }
        game.draw(frame);
        std::thread::sleep(FRAME);
    }
    ExitCode::SUCCESS
}

struct Game {
    network: Network,
    arena: String,
    player: Player,
    /// Whether there is a screen to draw on.
    screen: bool,
}

impl Game {
    fn start(&mut self) {
        self.network.tell(Input::Connect);
        // Without a subscription there are no events; the set of members is kept all the same.
        self.network.tell(Input::subscribe(OpId(0), self.arena.as_str(), SubscriptionId(0)));
        self.network.tell(Input::enter(ENTER, self.arena.as_str(), Some(self.player.data())));
    }

    fn step(&mut self) {
        self.player.step();
        // What cannot be sent now is old by the time it can: the next step says it better.
        if self.network.state() == ConnectionState::Connected {
            let data = Some(self.player.data());
            self.network.tell(Input::update(STEP, self.arena.as_str(), data));
        }
    }

    /// Draws from the core's own member set: the game keeps no second list.
    fn draw(&self, frame: u32) {
        let Some(channel) = self.network.core.channel(&self.arena) else { return };
        let mut field = vec![vec!['·'; WIDTH]; HEIGHT];
        let mut count = 0;
        for member in channel.members() {
            count += 1;
            let initial = member.client_id().chars().next().filter(|c| c.is_alphanumeric());
            if let Some((x, y)) = member.data().and_then(position) {
                field[y][x] = initial.unwrap_or('?');
            }
        }
        if self.screen {
            print!("\x1b[H\x1b[J");
            for row in field {
                println!("{}", row.into_iter().collect::<String>());
            }
            println!("{count} players, {}", self.network.state());
        } else if frame.is_multiple_of(30) {
            println!("frame {frame}: {count} players, {}", self.network.state());
        }
    }
}

struct Player {
    x: usize,
    y: usize,
    right: bool,
    down: bool,
}

impl Player {
    const fn new(seed: u64) -> Self {
        let (x, y) = (seed as usize % WIDTH, (seed >> 32) as usize % HEIGHT);
        Self { x, y, right: seed & 1 == 0, down: seed & 2 == 0 }
    }

    /// One step on, bouncing off the walls.
    const fn step(&mut self) {
        (self.x, self.right) = bounce(self.x, self.right, WIDTH);
        (self.y, self.down) = bounce(self.y, self.down, HEIGHT);
    }

    fn data(&self) -> Data {
        Data::String(format!("{},{}", self.x, self.y).into())
    }
}

const fn bounce(at: usize, forward: bool, size: usize) -> (usize, bool) {
    let forward = if forward { at + 1 < size } else { at == 0 };
    (if forward { at + 1 } else { at - 1 }, forward)
}

/// A position inside the arena. Others may say anything.
fn position(data: &Data) -> Option<(usize, usize)> {
    let Data::String(text) = data else { return None };
    let (x, y) = text.split_once(',')?;
    let (x, y) = (x.parse().ok()?, y.parse().ok()?);
    (x < WIDTH && y < HEIGHT).then_some((x, y))
}

/// The core, its socket and its clock.
struct Network {
    core: Client,
    out: Outbox,
    url: url::Url,
    clock: Clock,
    socket: Socket,
}

enum Socket {
    Closed,
    /// A thread of its own opens the socket: no frame of the game waits for the network.
    Opening(TransportId, Receiver<Result<Box<WebSocket<TcpStream>>, String>>),
    Open(TransportId, Box<WebSocket<TcpStream>>),
}

impl Network {
    fn new(name: &str, seed: u64, url: url::Url) -> Self {
        let mut options = ClientOptions::default();
        options.client_id = Some(name.into());
        options.format = Format::Json;
        options.observes_pings = true;
        Self {
            core: Client::new(options, seed),
            out: Outbox::new(),
            url,
            clock: Clock::start(),
            socket: Socket::Closed,
        }
    }

    fn state(&self) -> ConnectionState {
        self.core.connection().state()
    }

    /// Once a frame: everything that has come, then the time.
    fn poll(&mut self) -> ConnectionState {
        while let Some(input) = self.next_event() {
            self.tell(input);
        }
        self.tell(Input::Tick);
        self.state()
    }

    fn tell(&mut self, input: Input) {
        // The frame rate is faster than any deadline.
        self.core.handle(self.clock.now(), input, &mut self.out);
        for output in self.out.drain() {
            match output {
                Output::Open(output::Open { transport, params, .. }) => {
                    let mut url = self.url.clone();
                    url.query_pairs_mut().extend_pairs(&params);
                    let (sender, receiver) = channel();
                    std::thread::spawn(move || sender.send(open(&url).map_err(|e| e.to_string())));
                    self.socket = Socket::Opening(transport, receiver);
                }
                Output::Close(output::Close { transport, .. }) => match &mut self.socket {
                    Socket::Opening(id, _) if *id == transport => self.socket = Socket::Closed,
                    Socket::Open(id, socket) if *id == transport => {
                        // Sends what still can be sent; dropping it closes it.
                        let _ = socket.close(None).and_then(|()| socket.flush());
                        self.socket = Socket::Closed;
                    }
                    _ => {}
                },
                Output::Send(output::Send { transport, frame, .. }) => {
                    if let Socket::Open(id, socket) = &mut self.socket
                        && *id == transport
                    {
                        let text = String::from_utf8(frame.encode(Format::Json));
                        let message = Message::text(text.expect("JSON is UTF-8"));
                        // A full socket keeps the frame for the next flush, a broken one is
                        // noticed by the next read.
                        let _ = socket.send(message);
                    }
                }
                Output::Connection(change) if change.current == ConnectionState::Failed => {
                    eprintln!("{}", change.reason.unwrap_or_default());
                }
                Output::Done(output::Done { op, result: Err(error), .. }) if op != STEP => {
                    eprintln!("operation {}: {error}", op.0);
                }
                _ => {}
            }
        }
    }

    /// What the socket has for us, if anything, without waiting.
    fn next_event(&mut self) -> Option<Input> {
        let failed = |text: String| Some(ErrorInfo::new(codes::CONNECTION_DISCONNECTED, 400, text));
        match &mut self.socket {
            Socket::Closed => None,
            Socket::Opening(transport, opening) => {
                let transport = *transport;
                match opening.try_recv() {
                    Err(TryRecvError::Empty) => None,
                    Ok(Ok(socket)) => {
                        self.socket = Socket::Open(transport, socket);
                        Some(Input::opened(transport))
                    }
                    Ok(Err(error)) => {
                        self.socket = Socket::Closed;
                        Some(Input::open_failed(transport, failed(error)))
                    }
                    Err(TryRecvError::Disconnected) => {
                        self.socket = Socket::Closed;
                        Some(Input::open_failed(transport, None))
                    }
                }
            }
            Socket::Open(transport, socket) => {
                let transport = *transport;
                let error = loop {
                    match socket.read() {
                        Ok(Message::Text(text)) => {
                            match ProtocolMessage::decode(Format::Json, text.as_bytes()) {
                                Ok(frame) => return Some(Input::received(transport, frame)),
                                Err(error) => break error.to_string(),
                            }
                        }
                        Ok(Message::Ping(_)) => {
                            return Some(Input::activity(transport));
                        }
                        Ok(_) => {}
                        Err(Error::Io(e)) if e.kind() == ErrorKind::WouldBlock => {
                            // What a full socket could not take earlier, and answers to pings.
                            let _ = socket.flush();
                            return None;
                        }
                        Err(error) => break error.to_string(),
                    }
                };
                self.socket = Socket::Closed;
                Some(Input::closed(transport, failed(error)))
            }
        }
    }
}

fn open(url: &url::Url) -> Result<Box<WebSocket<TcpStream>>, Box<dyn std::error::Error>> {
    let address = url.socket_addrs(|| Some(80))?;
    let stream = TcpStream::connect(address.as_slice())?;
    stream.set_nodelay(true)?;
    let (socket, _response) = tungstenite::client(url.as_str(), stream)?;
    socket.get_ref().set_nonblocking(true)?;
    Ok(Box::new(socket))
}
