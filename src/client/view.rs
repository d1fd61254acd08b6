//! What can be read of a client without changing it.

use super::channel::Channel;
use super::recovery::RecoveryKey;
use super::{ChannelOptions, ChannelState, Client, ConnectionState};
use crate::SmolStr;
use crate::members::{Member, MemberSet, Members, MembersOfClient};
use crate::wire::{ErrorInfo, Modes, PresenceMessage};

impl Client {
    /// The connection, to be read.
    #[must_use]
    pub const fn connection(&self) -> ConnectionView<'_> {
        ConnectionView { client: self }
    }

    /// A channel, to be read; `None` if the client does not know it (RTS2).
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelView<'_>> {
        self.channels.find(name).map(|channel| ChannelView { channel })
    }

    /// All channels that the client knows (RTS2).
    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> {
        self.channels.iter().map(|channel| ChannelView { channel })
    }

    /// How many channels the client knows.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How often the client found itself in a state that cannot be: a bug of this crate, to be
    /// reported. It goes on as well as it can. Zero, for all that is known; a build with debug
    /// assertions panics instead.
    #[must_use]
    pub fn internal_errors(&self) -> usize {
        self.channels.dangling() + self.connection.internal_errors + self.operations.unmatched
    }

    /// How many operations have no outcome yet.
    #[must_use]
    pub const fn pending_operations(&self) -> usize {
        self.operations.pending
    }
}

/// A connection, to be read.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionView<'a> {
    client: &'a Client,
}

impl<'a> ConnectionView<'a> {
    /// The state (RTN4d).
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.client.connection.state
    }

    /// The connection id, if there is one (RTN8).
    #[must_use]
    pub const fn id(&self) -> Option<&'a SmolStr> {
        self.client.connection.id.as_ref()
    }

    /// The connection key, if there is one (RTN9). It is a secret.
    #[must_use]
    pub const fn key(&self) -> Option<&'a SmolStr> {
        self.client.connection.key.as_ref()
    }

    /// Why the connection is in its state, if there is a reason (RTN25).
    #[must_use]
    pub const fn error_reason(&self) -> Option<&'a ErrorInfo> {
        self.client.connection.error_reason.as_ref()
    }

    /// The identity, as far as it is known: what the server has told, else that of the options
    /// (RTC4a, RSA12). `*` may act for any client id.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a SmolStr> {
        self.client.connection.identity(&self.client.options)
    }

    /// The largest presence message, in bytes (CD2c).
    #[must_use]
    pub const fn max_message_size(&self) -> u64 {
        self.client.connection.max_message_size
    }

    /// What another client needs to go on with this connection (RTN16g); `None` if there is
    /// nothing to go on with. It holds a secret.
    #[must_use]
    pub fn recovery_key(&self) -> Option<SmolStr> {
        let connection_key = self.client.connection.key.clone()?;
        let channel_serials = self
            .client
            .channels
            .iter()
            .filter(|channel| channel.state == ChannelState::Attached)
            .filter_map(|channel| Some((channel.name.clone(), channel.channel_serial.clone()?)))
            .collect();
        let msg_serial = self.client.operations.next_serial;
        Some(RecoveryKey { connection_key, msg_serial, channel_serials }.into_text())
    }
}

/// A channel, to be read.
#[derive(Clone, Copy, Debug)]
pub struct ChannelView<'a> {
    channel: &'a Channel,
}

impl<'a> ChannelView<'a> {
    /// The name (RTL23).
    #[must_use]
    pub const fn name(&self) -> &'a SmolStr {
        &self.channel.name
    }

    /// The state (RTL2b).
    #[must_use]
    pub const fn state(&self) -> ChannelState {
        self.channel.state
    }

    /// Why the channel is in its state, if there is a reason (RTL24).
    #[must_use]
    pub const fn error_reason(&self) -> Option<&'a ErrorInfo> {
        self.channel.error_reason.as_ref()
    }

    /// The options that were set (RTL16).
    #[must_use]
    pub const fn options(&self) -> &'a ChannelOptions {
        &self.channel.options
    }

    /// The modes that the server granted with the last ATTACHED (RTL4m).
    #[must_use]
    pub const fn modes(&self) -> Option<Modes> {
        self.channel.modes
    }

    /// The parameters that the server accepted with the last ATTACHED (RTL4k1).
    #[must_use]
    pub fn params(&self) -> &'a [(SmolStr, SmolStr)] {
        &self.channel.params
    }

    /// Where the channel's stream has got to (RTL15b).
    #[must_use]
    pub const fn channel_serial(&self) -> Option<&'a SmolStr> {
        self.channel.channel_serial.as_ref()
    }

    /// Where the channel's stream was when it was attached (RTL15c).
    #[must_use]
    pub const fn attach_serial(&self) -> Option<&'a SmolStr> {
        self.channel.attach_serial.as_ref()
    }

    /// Whether the members are all known: the sync that follows an attach is complete (RTP13).
    #[must_use]
    pub const fn sync_complete(&self) -> bool {
        self.channel.presence.sync_complete
    }

    /// Whether a sync is under way (RTP18).
    #[must_use]
    pub const fn is_syncing(&self) -> bool {
        self.channel.presence.members.is_syncing()
    }

    /// How many members are present, as far as is known.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.channel.presence.members.len()
    }

    /// The members present, as far as is known, in no particular order.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        self.channel.presence.members.iter()
    }

    /// The member set, with the marks of members that left during a sync (RTP2h2a).
    #[must_use]
    pub const fn member_set(&self) -> &'a MemberSet {
        &self.channel.presence.members
    }

    /// The members of one client id, one for each of its connections.
    #[must_use]
    pub fn members_of(&self, client_id: &str) -> MembersOfClient<'a> {
        self.channel.presence.members.of_client(client_id)
    }

    /// A member by its key (TP3h), if it is present.
    #[must_use]
    pub fn member(&self, client_id: &str, connection_id: &str) -> Option<Member<'a>> {
        let members = &self.channel.presence.members;
        members.get(members.find(client_id, connection_id)?).filter(|member| !member.is_absent())
    }

    /// The members that this connection has entered, in the order in which they were first seen
    /// (RTP17).
    pub fn own_members(&self) -> impl Iterator<Item = &'a PresenceMessage> + use<'a> {
        self.channel.presence.own.iter().map(|(_, message)| message)
    }

    /// How many members this connection has entered.
    #[must_use]
    pub fn own_member_count(&self) -> usize {
        self.channel.presence.own.len()
    }
}
