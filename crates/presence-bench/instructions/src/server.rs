//! Paths of the server: somebody changes, arrives, is lost, comes back.

use crate::Path;
use core::hint::black_box;
use presence_proto::server::{
    Capability, ConnectRequest, Identity, Input, Outbox, Output, output, Rate, Server, ServerOptions,
};
use presence_proto::wire::{Action, Format, PresenceAction, PresenceMessage, ProtocolMessage};
use presence_proto::{Now, SmolStr, TransportId};
use std::sync::Arc;

const CHANNEL: &str = "room:bench";
const CONNECTIONS: u64 = 200;

pub(crate) const PATHS: &[(&str, u64, Path)] = &[
    ("server-enter", CONNECTIONS, enter),
    ("server-update", CONNECTIONS, update),
    ("server-newcomer", CONNECTIONS, newcomer),
    ("server-timeout", CONNECTIONS, timeout),
    ("server-resume", CONNECTIONS, resume),
];

/// One of many enters, and all are told.
fn enter() -> Box<dyn FnOnce()> {
    let mut host = Host::new();
    let frames = host.says(PresenceAction::Enter, 0);
    counted(host, move |host| frames.into_iter().for_each(|input| host.handle(input)))
}

/// One of many updates, and all are told.
fn update() -> Box<dyn FnOnce()> {
    let mut host = Host::with_members();
    let frames = host.says(PresenceAction::Update, 1);
    counted(host, move |host| frames.into_iter().for_each(|input| host.handle(input)))
}

/// One more attaches, and gets all members as bytes. One member is one operation.
fn newcomer() -> Box<dyn FnOnce()> {
    let mut host = Host::with_members();
    host.open(CONNECTIONS, None);
    counted(host, |host| {
        host.attach(CONNECTIONS, None);
        host.tick(0);
    })
}

/// Everybody is lost, and leaves when the grace ends.
fn timeout() -> Box<dyn FnOnce()> {
    let host = Host::with_members();
    counted(host, |host| {
        host.drop_all();
        host.tick(60_000);
    })
}

/// Everybody is lost, and comes back in time.
fn resume() -> Box<dyn FnOnce()> {
    let host = Host::with_members();
    counted(host, |host| {
        host.drop_all();
        for n in 0..CONNECTIONS {
            let key = host.keys[n as usize].clone();
            host.open(CONNECTIONS + n, Some(key));
            host.attach(CONNECTIONS + n, host.serial.clone());
        }
    })
}

fn counted(mut host: Host, act: impl FnOnce(&mut Host) + 'static) -> Box<dyn FnOnce()> {
    Box::new(move || {
        act(&mut host);
        core::mem::forget(host);
    })
}

struct Host {
    server: Server,
    out: Outbox,
    keys: Vec<SmolStr>,
    /// Where the channel stood when the last one attached.
    serial: Option<SmolStr>,
    now: Now,
    buffer: Vec<u8>,
    sent: u64,
}

impl Host {
    /// Everybody is attached.
    fn new() -> Self {
        let mut config = ServerOptions::default();
        config.limits.inbound = Rate::UNLIMITED;
        config.limits.channel = Rate::UNLIMITED;
        let mut host = Self {
            server: Server::new(config, [7; 32]),
            out: Outbox::new(),
            keys: Vec::new(),
            serial: None,
            now: Now::from_millis(1_700_000_000_000),
            buffer: Vec::new(),
            sent: 0,
        };
        for n in 0..CONNECTIONS {
            host.open(n, None);
            host.attach(n, None);
        }
        host
    }

    /// Everybody has entered.
    fn with_members() -> Self {
        let mut host = Self::new();
        let frames = host.says(PresenceAction::Enter, 0);
        frames.into_iter().for_each(|input| host.handle(input));
        host
    }

    /// What each says, decoded.
    fn says(&mut self, action: PresenceAction, serial: i64) -> Vec<Input> {
        let say = |n| {
            let item = PresenceMessage::new(action).with_data(format!("data of {n:012}"));
            let mut frame = ProtocolMessage::presence(CHANNEL, vec![item]);
            frame.msg_serial = Some(serial);
            Input::received(TransportId(n), frame)
        };
        (0..CONNECTIONS).map(say).collect()
    }

    fn open(&mut self, n: u64, resume: Option<SmolStr>) {
        let client_id = format!("client-{:05}", n % CONNECTIONS);
        let identity = Identity::Client(client_id.into());
        let mut request = ConnectRequest::new(identity, Arc::new(Capability::all()));
        request.resume = resume;
        self.handle(Input::opened(TransportId(n), request));
    }

    /// Attaches; again, if it has a serial (RTL4c1).
    fn attach(&mut self, n: u64, serial: Option<SmolStr>) {
        let mut frame = ProtocolMessage::on_channel(Action::Attach, CHANNEL);
        frame.channel_serial = serial;
        self.handle(Input::received(TransportId(n), frame));
    }

    fn drop_all(&mut self) {
        for n in 0..CONNECTIONS {
            self.handle(Input::closed(TransportId(n)));
        }
    }

    /// So much later, until nothing is due.
    fn tick(&mut self, millis: u64) {
        self.now = Now::from_millis(self.now.mono.as_millis() + millis);
        loop {
            let wake = self.server.handle(self.now, Input::Tick, &mut self.out);
            self.deliver();
            if wake.at().is_none_or(|at| at > self.now.mono) {
                break;
            }
        }
    }

    fn handle(&mut self, input: Input) {
        black_box(self.server.handle(self.now, input, &mut self.out).at());
        self.deliver();
    }

    /// Encodes each frame once, and counts a delivery for each who gets it.
    fn deliver(&mut self) {
        for output in self.out.drain() {
            self.buffer.clear();
            match output {
                Output::Send(output::Send { to, frame, .. }) => {
                    if let Some(details) = &frame.head().connection_details {
                        self.keys.extend(details.connection_key.clone());
                    }
                    frame.encode_into(Format::MessagePack, &mut self.buffer);
                    if frame.head().action == Action::Attached {
                        self.serial.clone_from(&frame.head().channel_serial);
                    }
                    for transport in to.iter() {
                        self.sent += u64::from(black_box(transport) != TransportId(u64::MAX));
                    }
                }
                _ => {}
            }
            black_box(&self.buffer);
        }
    }
}
