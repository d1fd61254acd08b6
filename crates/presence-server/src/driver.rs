//! The task that owns the presence core of an app.
//!
//! Everything that happens reaches it as a [`Command`], in one queue; what the core wants done goes
//! out to the connections' send queues. With a store, the events of a whole batch of commands are
//! committed first and its outputs go out after that: what is acknowledged is on the disk, and
//! while one commit runs the next batch gathers.

use crate::{
    clock::Clock,
    closing,
    keys::Keys,
    link::{Link, Pushed},
    store::{Record, Store},
};
use axum::{
    body::Bytes,
    extract::ws::{Message, Utf8Bytes},
};
use presence_proto::{
    Outbox, SmolStr, TransportId, Wake,
    server::{ConnectRequest, Input, Output, Server, ServerEvent, output},
    wire::{Format, ProtocolMessage},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{debug, error, info, trace};

/// Commands that are handled before what came of them goes out.
const BATCH: usize = 1024;

/// What the core is asked.
pub(crate) enum Command {
    /// A connection with its send queue.
    Open { link: Link, request: Box<ConnectRequest>, transport: TransportId },
    /// What happens to a connection. The permit, if any, counts against what it may have waiting
    /// here.
    From(TransportId, Box<Input>, Option<OwnedSemaphorePermit>),
    /// Anything else that happens.
    Input(Box<Input>),
    /// A question.
    Ask(Box<dyn FnOnce(&Server) + Send>),
}

/// The way to the core.
#[derive(Clone)]
pub(crate) struct Handle(mpsc::UnboundedSender<Command>);

impl Handle {
    pub(crate) fn open(&self, transport: TransportId, link: Link, request: ConnectRequest) {
        self.send(Command::Open { link, request: Box::new(request), transport });
    }

    /// What happened to a connection, under its permit.
    pub(crate) fn from(
        &self,
        from: TransportId,
        input: Input,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.send(Command::From(from, Box::new(input), permit));
    }

    /// What happened to all.
    pub(crate) fn input(&self, input: Input) {
        self.send(Command::Input(Box::new(input)));
    }

    /// The answer to a question, unless the server has stopped.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Ask(Box::new(move |server| {
            // Who asked may have gone away.
            let _ = reply.send(question(server));
        })));
        answer.await.ok()
    }

    fn send(&self, command: Command) {
        // The core ends only when the process does.
        let _ = self.0.send(command);
    }
}

/// The owner of the core.
pub(crate) struct Core {
    server: Server,
    clock: Clock,
    keys: Arc<Keys>,
    store: Option<Arc<Store>>,
    commands: mpsc::UnboundedReceiver<Command>,
    links: HashMap<TransportId, Link>,
    out: Outbox<Output>,
    wake: Option<Wake>,
}

impl Core {
    pub(crate) fn new(
        server: Server,
        clock: Clock,
        keys: Arc<Keys>,
        store: Option<Arc<Store>>,
    ) -> (Self, Handle) {
        let (sender, commands) = mpsc::unbounded_channel();
        let links = HashMap::new();
        let core =
            Self { server, clock, keys, store, commands, links, out: Outbox::new(), wake: None };
        (core, Handle(sender))
    }

    /// Runs until nobody holds a [`Handle`], or the store fails: then nothing more is
    /// acknowledged.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.wake.and_then(|wake| wake.delay(self.clock.now()));
            let commands = self.commands.recv_many(&mut batch, BATCH);
            let received = match due {
                None => Some(commands.await),
                Some(due) => tokio::time::timeout(due, commands).await.ok(),
            };
            match received {
                Some(0) => return,
                Some(_) => {}
                None => self.handle(Input::Tick),
            }
            for command in batch.drain(..) {
                self.apply(command);
            }
            if let Err(failure) = self.flush() {
                error!("the history cannot be written, so the server stops: {failure}");
                return;
            }
        }
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Open { link, request, transport } => {
                self.links.insert(transport, link);
                self.handle(Input::opened(transport, *request));
            }
            Command::From(transport, input, _permit) => {
                let known = if matches!(*input, Input::Closed(_)) {
                    self.links.remove(&transport).is_some()
                } else {
                    self.links.contains_key(&transport)
                };
                // Without a link the core has closed the connection, and has forgotten it.
                if known {
                    self.handle(*input);
                }
            }
            Command::Input(input) => self.handle(*input),
            Command::Ask(question) => question(&self.server),
        }
    }

    fn handle(&mut self, input: Input) {
        trace!(?input);
        self.wake = Some(self.server.handle(self.clock.now(), input, &mut self.out));
    }

    /// Commits the events that wait, then carries the outputs out.
    fn flush(&mut self) -> Result<(), redb::Error> {
        while !self.out.is_empty() {
            self.commit()?;
            let outputs: Vec<Output> = self.out.drain().collect();
            for output in outputs {
                self.carry_out(output);
            }
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), redb::Error> {
        let Some(store) = &self.store else { return Ok(()) };
        let records: Vec<Record<'_>> = self.out.as_slice().iter().filter_map(Record::of).collect();
        if records.is_empty() {
            return Ok(());
        }
        store.append(&records, self.clock.now().wall)
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(output::Send { to, mut frame, .. }) => {
                // Text is looked at once, not for each recipient.
                let mut made: Option<(Format, Message)> = None;
                for transport in to.iter() {
                    let Some(link) = self.links.get_mut(&transport) else { continue };
                    link.note(frame.head());
                    let format = link.format();
                    made = made.filter(|(made, _)| *made == format).or_else(|| {
                        message(format, frame.encode(format)).map(|message| (format, message))
                    });
                    if let Some((_, message)) = &made {
                        let message = message.clone();
                        self.push(transport, message);
                    }
                }
            }
            Output::Ping(output::Ping { transport, .. }) => {
                self.push(transport, Message::Ping(Default::default()))
            }
            Output::Close(output::Close { transport, .. }) => {
                if let Some(link) = self.links.remove(&transport) {
                    link.close();
                }
            }
            Output::Authenticate(output::Authenticate { transport, token, .. }) => {
                let answer = match self.keys.token(&token.0, self.clock.now().wall) {
                    Ok(grant) => Input::authorized(
                        transport,
                        grant.identity,
                        grant.capability,
                        grant.expires,
                    ),
                    Err(error) => Input::authorization_failed(transport, error),
                };
                self.handle(answer);
            }
            Output::Event(event) => log(&event),
            Output::Misuse(misuse) => error!("{misuse}"),
            _ => {}
        }
    }

    /// Puts a message into a connection's send queue, and tells the core if that is long.
    fn push(&mut self, transport: TransportId, message: Message) {
        let Some(link) = self.links.get(&transport) else { return };
        match link.push(message) {
            Pushed::Fine => {}
            Pushed::Congested => self.handle(Input::congested(transport)),
            Pushed::Overflow => {
                debug!(transport = transport.0, "dropped: it reads too slowly");
                if let Some(link) = self.links.remove(&transport) {
                    link.close_with(closing::too_slow());
                }
                self.handle(Input::closed(transport));
            }
        }
    }
}

pub(crate) fn encode(frame: &ProtocolMessage, format: Format) -> Option<Message> {
    message(format, frame.encode(format).into())
}

fn message(format: Format, bytes: Bytes) -> Option<Message> {
    match format {
        Format::Json => Utf8Bytes::try_from(bytes).ok().map(Message::Text),
        Format::MessagePack => Some(Message::Binary(bytes)),
    }
}

fn log(event: &ServerEvent) {
    let who = |message: &presence_proto::wire::PresenceMessage| -> SmolStr {
        message.client_id.clone().unwrap_or_default()
    };
    match event {
        ServerEvent::MemberEntered(output::MemberEntered { channel, message, .. }) => {
            debug!(%channel, client_id = %who(message), "entered");
        }
        ServerEvent::MemberUpdated(output::MemberUpdated { channel, message, .. }) => {
            debug!(%channel, client_id = %who(message), "updated");
        }
        ServerEvent::MemberLeft(output::MemberLeft { channel, message, cause, .. }) => {
            debug!(%channel, client_id = %who(message), ?cause, "left");
        }
        ServerEvent::ChannelOccupied(output::ChannelOccupied { channel, .. }) => {
            info!(%channel, "occupied")
        }
        ServerEvent::ChannelVacant(output::ChannelVacant { channel, .. }) => {
            info!(%channel, "vacant")
        }
        _ => {}
    }
}
