//! The task that owns the presence core of an app.
//!
//! It receives [`Command`]s from one queue and puts outputs into the send queues of the connections.
//! With a store, it commits the events of a batch of commands before it sends the outputs of the
//! batch. So acknowledged events are durable, and commands queue up during a commit and share the next
//! one (group commit).

use crate::{
    EventStore, StoreError, StoredEvent,
    auth::Verifier,
    connection::{Link, Pushed, closing},
};
use axum::{
    body::Bytes,
    extract::ws::{Message, Utf8Bytes},
};
use foldhash::fast::RandomState;
use presence_proto::{
    Clock, Outbox, SmolStr, TransportId, Wake,
    server::{ConnectRequest, Input, Output, Server, ServerEvent, output},
    wire::{Format, ProtocolMessage},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{debug, error, info, trace};

/// Maximum number of commands in a batch.
const BATCH: usize = 1024;

enum Command {
    /// A new connection with its send queue.
    Open { link: Link, request: Box<ConnectRequest>, transport: TransportId },
    /// An input of a connection. Its permit, if any, limits the queued inputs of the connection and
    /// is released once the input is handled.
    From(TransportId, Box<Input>, Option<OwnedSemaphorePermit>),
    /// Any other input.
    Input(Box<Input>),
    /// A query.
    Read(Box<dyn FnOnce(&Server) + Send>),
}

/// Sends commands to the core.
#[derive(Clone, Debug)]
pub(crate) struct Handle(mpsc::UnboundedSender<Command>);

impl Handle {
    pub(crate) fn open(&self, transport: TransportId, link: Link, request: ConnectRequest) {
        self.send(Command::Open { link, request: Box::new(request), transport });
    }

    /// Sends an input of a connection, with its permit.
    pub(crate) fn from(
        &self,
        from: TransportId,
        input: Input,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.send(Command::From(from, Box::new(input), permit));
    }

    /// Sends an input that belongs to no connection.
    pub(crate) fn input(&self, input: Input) {
        self.send(Command::Input(Box::new(input)));
    }

    /// Runs a query on the core's thread. Returns `None` if the core has stopped.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Read(Box::new(move |server| {
            // The caller may have been cancelled.
            let _ = reply.send(query(server));
        })));
        answer.await.ok()
    }

    fn send(&self, command: Command) {
        // Fails only if the core has stopped. `Node::failed` reports that.
        let _ = self.0.send(command);
    }
}

/// The callback for events. Its first argument is the name of the app.
pub(crate) type OnEvent = Arc<dyn Fn(&str, &ServerEvent) + Send + Sync>;

/// What a driver needs besides its core.
pub(crate) struct Environment {
    /// The name of the app.
    pub(crate) app: String,
    pub(crate) clock: Clock,
    pub(crate) verifier: Verifier,
    pub(crate) store: Option<Arc<dyn EventStore>>,
    pub(crate) on_event: Option<OnEvent>,
}

/// Owns a core and carries out its outputs.
pub(crate) struct Driver {
    server: Server,
    environment: Environment,
    commands: mpsc::UnboundedReceiver<Command>,
    /// For the results of the driver's own tasks. Weak, so that it does not keep the core running.
    results: mpsc::WeakUnboundedSender<Command>,
    /// Peers cannot choose transport ids, so a fast hash is safe.
    links: HashMap<TransportId, Link, RandomState>,
    out: Outbox<Output>,
    wake: Option<Wake>,
}

impl Driver {
    pub(crate) fn new(server: Server, environment: Environment) -> (Self, Handle) {
        let (sender, commands) = mpsc::unbounded_channel();
        let driver = Self {
            server,
            environment,
            commands,
            results: sender.downgrade(),
            links: HashMap::default(),
            out: Outbox::new(),
            wake: None,
        };
        (driver, Handle(sender))
    }

    /// Runs until the last [`Handle`] is dropped, or until the store fails, after which no event can
    /// be acknowledged.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.wake.and_then(|wake| wake.delay(self.environment.clock.now()));
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
                error!("stopping: cannot write the history: {failure}");
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
                // Without a link, the core has already closed this transport.
                if known {
                    self.handle(*input);
                }
            }
            Command::Input(input) => self.handle(*input),
            Command::Read(query) => query(&self.server),
        }
    }

    fn handle(&mut self, input: Input) {
        trace!(?input);
        self.wake = Some(self.server.handle(self.environment.clock.now(), input, &mut self.out));
    }

    /// Commits the events of the outbox, then carries out its outputs. These can cause more outputs.
    fn flush(&mut self) -> Result<(), StoreError> {
        while !self.out.is_empty() {
            self.commit()?;
            let outputs: Vec<Output> = self.out.drain().collect();
            for output in outputs {
                self.carry_out(output);
            }
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), StoreError> {
        let Some(store) = &self.environment.store else { return Ok(()) };
        let events: Vec<StoredEvent<'_>> =
            self.out.as_slice().iter().filter_map(StoredEvent::of).collect();
        if events.is_empty() {
            return Ok(());
        }
        store.append(&events, self.environment.clock.now().wall)
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(output::Send { to, mut frame, .. }) => {
                // The message of the latest format: its UTF-8 is validated once, not per recipient.
                let mut encoded: Option<(Format, Message)> = None;
                for transport in to.iter() {
                    let Some(link) = self.links.get_mut(&transport) else { continue };
                    link.note(frame.head());
                    let format = link.format();
                    encoded = encoded.filter(|(encoded, _)| *encoded == format).or_else(|| {
                        message(format, frame.encode(format)).map(|message| (format, message))
                    });
                    if let Some((_, message)) = &encoded {
                        let pushed = link.push(message.clone());
                        self.pushed(transport, pushed);
                    }
                }
            }
            Output::Ping(output::Ping { transport, .. }) => {
                if let Some(link) = self.links.get(&transport) {
                    let pushed = link.push(Message::Ping(Default::default()));
                    self.pushed(transport, pushed);
                }
            }
            Output::Close(output::Close { transport, .. }) => {
                if let Some(link) = self.links.remove(&transport) {
                    link.close();
                }
            }
            Output::Authenticate(output::Authenticate { transport, token, .. }) => {
                self.verify(transport, token.0.to_string());
            }
            Output::Event(event) => {
                log(&event);
                if let Some(on_event) = &self.environment.on_event {
                    on_event(&self.environment.app, &event);
                }
            }
            Output::Misuse(misuse) => error!("{misuse}"),
            _ => {}
        }
    }

    /// Verifies a token in a separate task, so that the core does not wait for it.
    fn verify(&self, transport: TransportId, token: String) {
        let verifier = self.environment.verifier.clone();
        let app = self.environment.app.clone();
        let now = self.environment.clock.now().wall;
        let results = self.results.clone();
        tokio::spawn(async move {
            let input = match verifier.renewal(&app, token, now).await {
                Ok(grant) => {
                    Input::authorized(transport, grant.identity, grant.capability, grant.expires)
                }
                Err(error) => Input::authorization_failed(transport, error),
            };
            if let Some(core) = results.upgrade().map(Handle) {
                core.from(transport, input, None);
            }
        });
    }

    /// Notifies the core of congestion, and drops a connection whose send queue overflows.
    fn pushed(&mut self, transport: TransportId, pushed: Pushed) {
        match pushed {
            Pushed::Fine => {}
            Pushed::Congested => self.handle(Input::congested(transport)),
            Pushed::Overflow => {
                debug!(transport = transport.0, "dropped: the peer reads too slowly");
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
    let client_id = |message: &presence_proto::wire::PresenceMessage| -> SmolStr {
        message.client_id.clone().unwrap_or_default()
    };
    match event {
        ServerEvent::MemberEntered(output::MemberEntered { channel, message, .. }) => {
            debug!(%channel, client_id = %client_id(message), "entered");
        }
        ServerEvent::MemberUpdated(output::MemberUpdated { channel, message, .. }) => {
            debug!(%channel, client_id = %client_id(message), "updated");
        }
        ServerEvent::MemberLeft(output::MemberLeft { channel, message, cause, .. }) => {
            debug!(%channel, client_id = %client_id(message), ?cause, "left");
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
