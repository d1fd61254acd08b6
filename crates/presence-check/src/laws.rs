//! What must hold of several nodes with one log, whatever happens to them.

use presence_proto::server::{Input, LeaveCause, Output, ServerEvent, input, output};
use presence_proto::wire::Action;
use presence_proto::{SmolStr, TransportId, client};
use presence_sim::{Call, CallKind, World};
use std::collections::BTreeMap;

/// Tolerance of the moment at which a connection was last open, in milliseconds: the way of a frame,
/// and the way through the log.
const SLACK: u64 = 1_500;

/// Checks the nodes against each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Laws {
    /// What follows from the log, by position: the first node that is there sets it.
    folds: BTreeMap<u64, String>,
    /// The position of each node at the last check.
    positions: BTreeMap<usize, u64>,
    /// The last serial that each client has heard on each channel.
    serials: BTreeMap<(usize, SmolStr), u64>,
    /// The connection of each open transport.
    transports: BTreeMap<TransportId, (usize, SmolStr)>,
    /// When each connection was last open, and its grace period.
    last_open: BTreeMap<SmolStr, (u64, u64)>,
    graces: BTreeMap<TransportId, u64>,
    /// How often the log has lost entries.
    resets: u64,
    /// Nobody's grace period ends before its time.
    gentle: bool,
}

impl Laws {
    pub(crate) fn new(gentle: bool) -> Self {
        Self { gentle, ..Self::default() }
    }

    /// Checks calls, and the nodes after them. Returns whether the log has lost entries.
    pub(crate) fn observe(&mut self, world: &World, calls: &[Call]) -> Result<bool, String> {
        let is_reset = self.resets != world.log_resets();
        if is_reset {
            // Everything starts over.
            self.resets = world.log_resets();
            self.folds.clear();
            self.positions.clear();
            self.serials.clear();
        }
        for call in calls {
            match &call.kind {
                CallKind::Server { node, input, outputs, .. } => {
                    self.server_call(call.at, *node, input, outputs)?;
                }
                CallKind::Client { client, input, .. } => self.client_call(*client, input)?,
                CallKind::ServerRestarted { node, .. } => {
                    self.positions.remove(node);
                }
                CallKind::ClientRestarted { client, .. } => {
                    self.serials.retain(|(number, _), _| number != client);
                }
            }
        }
        let now = world.now();
        self.transports.retain(|_, (node, id)| {
            let open = world.is_node_up(*node);
            if !open && let Some((last, _)) = self.last_open.get_mut(id) {
                *last = now;
            }
            open
        });
        self.compare(world).map(|()| is_reset)
    }

    /// At the same position all nodes hold the same.
    fn compare(&mut self, world: &World) -> Result<(), String> {
        for node in 0..world.node_count() {
            if !world.is_node_up(node) {
                continue;
            }
            let server = world.node(node);
            if server.counters().internal_errors > 0 {
                return Err(format!("node {node} has internal errors"));
            }
            let Some(position) = server.position().filter(|position| position.0 > 0) else {
                continue;
            };
            // A node may still hold entries that the log has lost.
            let is_in_log = world.log().binary_search_by_key(&position, |(at, _)| *at).is_ok();
            if !is_in_log || self.positions.insert(node, position.0) == Some(position.0) {
                continue;
            }
            let fold = server.fold();
            let expected = self.folds.entry(position.0).or_insert_with(|| fold.clone());
            if *expected != fold {
                let different = expected.lines().zip(fold.lines()).find(|(a, b)| a != b);
                return Err(format!(
                    "node {node} differs at position {}: {different:?}",
                    position.0
                ));
            }
        }
        Ok(())
    }

    fn server_call(
        &mut self,
        at: u64,
        node: usize,
        input: &Input,
        outputs: &[Output],
    ) -> Result<(), String> {
        match input {
            Input::Opened(input::Opened { transport, request, .. }) => {
                let grace = request
                    .remain_present_for
                    .map_or(15_000, |grace| u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
                self.graces.insert(*transport, grace);
            }
            Input::Closed(input::Closed { transport, .. }) => self.closed(*transport, at),
            _ => {}
        }
        for output in outputs {
            match output {
                Output::Send(output::Send { to, frame, .. })
                    if frame.head().action == Action::Connected =>
                {
                    let id = frame.head().connection_id.clone().unwrap_or_default();
                    for transport in to.iter() {
                        let grace = self.graces.get(&transport).copied().unwrap_or(15_000);
                        self.last_open.insert(id.clone(), (at, grace));
                        self.transports.insert(transport, (node, id.clone()));
                    }
                }
                Output::Close(output::Close { transport, .. }) => self.closed(*transport, at),
                Output::Event(ServerEvent::MemberLeft(left))
                    if self.gentle && left.cause == LeaveCause::GraceEnded =>
                {
                    let id = left.message.connection_id.clone().unwrap_or_default();
                    self.may_leave(&id, at)?;
                }
                Output::Misuse(misuse) => return Err(format!("node {node}: {misuse}")),
                _ => {}
            }
        }
        Ok(())
    }

    fn closed(&mut self, transport: TransportId, at: u64) {
        if let Some((_, id)) = self.transports.remove(&transport)
            && let Some((last, _)) = self.last_open.get_mut(&id)
        {
            *last = at;
        }
    }

    /// A member leaves because its grace period is over.
    fn may_leave(&self, id: &SmolStr, at: u64) -> Result<(), String> {
        if self.transports.values().any(|(_, open)| open == id) {
            return Err(format!("a member of {id} leaves, which is connected"));
        }
        match self.last_open.get(id) {
            Some((last, grace)) if at + SLACK < last + grace => {
                Err(format!("a member of {id} leaves {} ms after it was connected", at - last))
            }
            _ => Ok(()),
        }
    }

    /// No client hears a serial of a channel go back.
    fn client_call(&mut self, number: usize, input: &client::Input) -> Result<(), String> {
        let client::Input::Received(client::input::Received { frame, .. }) = input else {
            return Ok(());
        };
        let (Some(channel), Some(text)) = (&frame.channel, &frame.channel_serial) else {
            return Ok(());
        };
        // A log that has lost its end has lost its serials.
        if frame.action == Action::Sync || text.len() != 16 || self.resets > 0 {
            return Ok(());
        }
        let Ok(serial) = u64::from_str_radix(text, 16) else {
            return Err(format!("client {number} hears the serial {text}"));
        };
        let last = self.serials.entry((number, channel.clone())).or_default();
        if serial < *last {
            return Err(format!(
                "client {number}, {channel}: the serial goes back from {last:016x} to {text}"
            ));
        }
        *last = serial;
        Ok(())
    }
}
