//! Read access to a client.

use super::channel::Channel;
use super::recovery::RecoveryKey;
use super::{ChannelOptions, ChannelState, Client, ConnectionState};
use crate::SmolStr;
use crate::members::{Member, MemberSet, Members, MembersOfClient};
use crate::wire::{ErrorInfo, Modes, PresenceMessage};

impl Client {
    /// The connection.
    #[must_use]
    pub const fn connection(&self) -> ConnectionView<'_> {
        ConnectionView { client: self }
    }

    /// A channel; `None` if it does not exist (RTS2).
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelView<'_>> {
        self.channels.find(name).map(|channel| ChannelView { channel })
    }

    /// All channels (RTS2).
    pub fn channels(&self) -> impl Iterator<Item = ChannelView<'_>> {
        self.channels.iter().map(|channel| ChannelView { channel })
    }

    /// Number of channels.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Number of broken invariants. Anything but zero is a bug of this crate: please report it. The
    /// client continues. With debug assertions it panics instead.
    #[must_use]
    pub fn internal_errors(&self) -> usize {
        self.channels.dangling() + self.connection.internal_errors + self.operations.unmatched
    }

    /// Number of operations without an outcome yet.
    #[must_use]
    pub const fn pending_operations(&self) -> usize {
        self.operations.pending
    }
}

/// Read access to a connection.
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

    /// The connection id, if any (RTN8).
    #[must_use]
    pub const fn id(&self) -> Option<&'a SmolStr> {
        self.client.connection.id.as_ref()
    }

    /// The connection key, if any (RTN9). A secret.
    #[must_use]
    pub const fn key(&self) -> Option<&'a SmolStr> {
        self.client.connection.key.as_ref()
    }

    /// The reason of the connection's state, if any (RTN25).
    #[must_use]
    pub const fn error_reason(&self) -> Option<&'a ErrorInfo> {
        self.client.connection.error_reason.as_ref()
    }

    /// The client id: the one granted by the server, otherwise the one in the options (RTC4a,
    /// RSA12). `*` may act for any client id.
    #[must_use]
    pub fn client_id(&self) -> Option<&'a SmolStr> {
        self.client.connection.identity(&self.client.options)
    }

    /// Maximum size of a presence message in bytes (CD2c).
    #[must_use]
    pub const fn max_message_size(&self) -> u64 {
        self.client.connection.max_message_size
    }

    /// The recovery key, for [`ClientOptions::recover`](super::ClientOptions::recover) of another
    /// client (RTN16g); `None` without a connection key. Contains a secret.
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

/// Read access to a channel.
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

    /// The reason of the channel's state, if any (RTL24).
    #[must_use]
    pub const fn error_reason(&self) -> Option<&'a ErrorInfo> {
        self.channel.error_reason.as_ref()
    }

    /// The options (RTL16).
    #[must_use]
    pub const fn options(&self) -> &'a ChannelOptions {
        &self.channel.options
    }

    /// The modes granted by the last ATTACHED (RTL4m).
    #[must_use]
    pub const fn modes(&self) -> Option<Modes> {
        self.channel.modes
    }

    /// The parameters accepted by the last ATTACHED (RTL4k1).
    #[must_use]
    pub fn params(&self) -> &'a [(SmolStr, SmolStr)] {
        &self.channel.params
    }

    /// The channel serial: the current position in the channel's stream (RTL15b).
    #[must_use]
    pub const fn channel_serial(&self) -> Option<&'a SmolStr> {
        self.channel.channel_serial.as_ref()
    }

    /// The attach serial: the position in the channel's stream at the last attach (RTL15c).
    #[must_use]
    pub const fn attach_serial(&self) -> Option<&'a SmolStr> {
        self.channel.attach_serial.as_ref()
    }

    /// Whether the sync after the last attach is complete: all members are known (RTP13).
    #[must_use]
    pub const fn sync_complete(&self) -> bool {
        self.channel.presence.sync_complete
    }

    /// Whether a sync is running (RTP18).
    #[must_use]
    pub const fn is_syncing(&self) -> bool {
        self.channel.presence.members.is_syncing()
    }

    /// Number of known present members.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.channel.presence.members.len()
    }

    /// The known present members, in no particular order.
    #[must_use]
    pub fn members(&self) -> Members<'a> {
        self.channel.presence.members.iter()
    }

    /// The member set, including members marked absent during a sync (RTP2h2a).
    #[must_use]
    pub const fn member_set(&self) -> &'a MemberSet {
        &self.channel.presence.members
    }

    /// The members with a client id, one for each of its connections.
    #[must_use]
    pub fn members_of(&self, client_id: &str) -> MembersOfClient<'a> {
        self.channel.presence.members.of_client(client_id)
    }

    /// The present member with this key (TP3h).
    #[must_use]
    pub fn member(&self, client_id: &str, connection_id: &str) -> Option<Member<'a>> {
        let members = &self.channel.presence.members;
        members.get(members.find(client_id, connection_id)?).filter(|member| !member.is_absent())
    }

    /// The own members: those entered by this connection, in the order of their first event
    /// (RTP17).
    pub fn own_members(&self) -> impl Iterator<Item = &'a PresenceMessage> + use<'a> {
        self.channel.presence.own.iter().map(|(_, message)| message)
    }

    /// Number of own members.
    #[must_use]
    pub fn own_member_count(&self) -> usize {
        self.channel.presence.own.len()
    }
}
