//! The task that owns the presence core of an app.
//!
//! Everything that happens reaches it as a [`Command`], in one queue. Outputs go to the send queues of
//! the connections. With a store, the events of a whole batch of commands are committed before its
//! outputs go out: what is acknowledged is durable, and while one commit runs the next batch collects.

use crate::{
    EventStore, Grant, StoreError, StoredEvent,
    auth::{Renewal, Renewals},
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
    wire::{ErrorInfo, Format, ProtocolMessage},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::{debug, error, info, trace};

/// Maximum of commands that are handled before their outputs go out.
const BATCH: usize = 1024;

enum Command {
    /// A new connection with its send queue.
    Open { link: Link, request: Box<ConnectRequest>, transport: TransportId },
    /// An input of a connection. The permit, if any, counts against its inputs that wait here.
    From(TransportId, Box<Input>, Option<OwnedSemaphorePermit>),
    /// The result of a token of a connection.
    Verified(TransportId, Result<Grant, ErrorInfo>),
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

    /// An input of a connection, with its permit.
    pub(crate) fn from(
        &self,
        from: TransportId,
        input: Input,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        self.send(Command::From(from, Box::new(input), permit));
    }

    /// An input of no connection.
    pub(crate) fn input(&self, input: Input) {
        self.send(Command::Input(Box::new(input)));
    }

    /// The result of a query, unless the core has ended.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Server) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Read(Box::new(move |server| {
            // The caller may have gone away.
            let _ = reply.send(query(server));
        })));
        answer.await.ok()
    }

    fn send(&self, command: Command) {
        // A core that has ended needs nothing more.
        let _ = self.0.send(command);
    }
}

/// Receives the events of the apps, with the name of the app.
pub(crate) type OnEvent = Arc<dyn Fn(&str, &ServerEvent) + Send + Sync>;

/// What a core works with.
pub(crate) struct Environment {
    /// The name of the app.
    pub(crate) app: String,
    pub(crate) clock: Clock,
    pub(crate) renewals: Renewals,
    pub(crate) store: Option<Arc<dyn EventStore>>,
    pub(crate) on_event: Option<OnEvent>,
}

/// Owns a core.
pub(crate) struct Driver {
    server: Server,
    environment: Environment,
    commands: mpsc::UnboundedReceiver<Command>,
    /// For the results of tasks that the core started. It does not keep the core running.
    results: mpsc::WeakUnboundedSender<Command>,
    /// The ids are this node's own, so that the hash need not withstand chosen ones.
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

    /// Runs until nobody holds a [`Handle`], or the store fails: then nothing more can be
    /// acknowledged.
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
                    self.remove_link(transport).is_some()
                } else {
                    self.links.contains_key(&transport)
                };
                // Without a link the core has closed the connection, and has forgotten it.
                if known {
                    self.handle(*input);
                }
            }
            Command::Verified(transport, result) => self.verified(transport, result),
            Command::Input(input) => self.handle(*input),
            Command::Read(query) => query(&self.server),
        }
    }

    fn handle(&mut self, input: Input) {
        trace!(?input);
        self.wake = Some(self.server.handle(self.environment.clock.now(), input, &mut self.out));
    }

    /// Commits the events that wait, then carries the outputs out.
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
                // Text is validated once, not for each recipient.
                let mut made: Option<(Format, Message)> = None;
                let end = closing::after(frame.head());
                for transport in to.iter() {
                    let Some(link) = self.links.get_mut(&transport) else { continue };
                    if let Some(end) = &end {
                        link.will_end(end.clone());
                    }
                    let format = link.format();
                    made = made.filter(|(made, _)| *made == format).or_else(|| {
                        message(format, frame.encode(format)).map(|message| (format, message))
                    });
                    if let Some((_, message)) = &made {
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
                if let Some(link) = self.remove_link(transport) {
                    link.close();
                }
            }
            Output::Authenticate(output::Authenticate { transport, token, .. }) => {
                self.renew(transport, token.0.to_string());
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

    /// A connection has sent a token.
    fn renew(&mut self, transport: TransportId, token: String) {
        match self.environment.renewals.add(transport, token) {
            Ok(Some(renewal)) => self.verify(renewal),
            Ok(None) => {}
            Err(error) => self.handle(Input::authorization_failed(transport, error)),
        }
    }

    /// Verifies a token in a task of its own, so that the core continues.
    fn verify(&self, renewal: Renewal) {
        let results = self.results.clone();
        let now = self.environment.clock.now().wall;
        tokio::spawn(async move {
            let transport = renewal.transport;
            let result = renewal.verify(now).await;
            if let Some(core) = results.upgrade().map(Handle) {
                core.send(Command::Verified(transport, result));
            }
        });
    }

    /// A token is verified: the connection has new rights, or ends.
    fn verified(&mut self, transport: TransportId, result: Result<Grant, ErrorInfo>) {
        if !self.links.contains_key(&transport) {
            return;
        }
        self.handle(match result {
            Ok(grant) => {
                Input::authorized(transport, grant.identity, grant.capability, grant.expires)
            }
            Err(error) => Input::authorization_failed(transport, error),
        });
        if let Some(renewal) = self.environment.renewals.next(transport) {
            self.verify(renewal);
        }
    }

    /// Forgets a closed connection. Returns its send queue, unless it is forgotten already.
    fn remove_link(&mut self, transport: TransportId) -> Option<Link> {
        self.environment.renewals.remove(transport);
        self.links.remove(&transport)
    }

    /// Reports a long send queue to the core, and closes a connection whose queue is full.
    fn pushed(&mut self, transport: TransportId, pushed: Pushed) {
        match pushed {
            Pushed::Fine => {}
            Pushed::Congested => self.handle(Input::congested(transport)),
            Pushed::Overflow => {
                debug!(transport = transport.0, "dropped: it reads too slowly");
                if let Some(link) = self.remove_link(transport) {
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
