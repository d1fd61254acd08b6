//! What a host can ask a server without changing it: who is present, and what happened.

use super::Position;
use crate::SmolStr;
use crate::UnixMillis;
use crate::members::{Member, MemberSet, Slot};
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;

/// The most items that one page can have (RSP3a1, RSP4b3).
pub const MAX_PAGE: usize = 1_000;

/// Which members (RSP3).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresenceQuery {
    /// Only those of this client id (RSP3a2).
    pub client_id: Option<SmolStr>,
    /// Only those of this connection (RSP3a3).
    pub connection_id: Option<SmolStr>,
    /// Members in a page. Default: 100, at most [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page starts: [`PresencePage::next`] of the page before.
    pub after: Option<u32>,
}

impl Default for PresenceQuery {
    fn default() -> Self {
        Self { client_id: None, connection_id: None, limit: 100, after: None }
    }
}

/// Some members of a channel, as PRESENT messages. Members that stay are on exactly one of the
/// pages, whoever else comes and goes meanwhile.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PresencePage {
    /// The members.
    pub items: Vec<PresenceMessage>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<u32>,
}

impl PresencePage {
    /// At most `limit` members of a set. The place of the one that finds no room is where the next
    /// page starts.
    pub(super) fn of(members: &MemberSet, query: &PresenceQuery, limit: usize) -> Self {
        let from = query.after.unwrap_or(0);
        match &query.client_id {
            Some(client_id) => {
                let slots = members.slots_of_client(client_id, from).into_iter();
                Self::collect(
                    slots.filter_map(|slot| Some((slot, members.get(slot)?))),
                    query,
                    limit,
                )
            }
            None => Self::collect(members.iter_from(from), query, limit),
        }
    }

    fn collect<'a>(
        members: impl Iterator<Item = (Slot, Member<'a>)>,
        query: &PresenceQuery,
        limit: usize,
    ) -> Self {
        let wanted = query.connection_id.as_ref();
        let mut members = members
            .filter(|(_, member)| wanted.is_none_or(|wanted| wanted == member.connection_id()));
        let items = members
            .by_ref()
            .take(limit)
            .map(|(_, member)| member.to_message(PresenceAction::Present))
            .collect();
        Self { items, next: members.next().map(|(slot, _)| slot.number()) }
    }
}

/// Which way a history is read (RSP4b2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum Direction {
    /// Newest first.
    #[default]
    Backwards,
    /// Oldest first.
    Forwards,
}

/// Which presence events (RSP4, RTP12).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Not before this time, which is included (RSP4b1).
    pub start: Option<UnixMillis>,
    /// Not after this time, which is included (RSP4b1).
    pub end: Option<UnixMillis>,
    /// Which way.
    pub direction: Direction,
    /// Events in a page. Default: 100, at most [`MAX_PAGE`].
    pub limit: usize,
    /// Where the page starts: the position of the last event of the page before, which is left
    /// out.
    pub after: Option<Position>,
    /// Only what happened until the attach that had this channel serial (`untilAttach`, RTL10b).
    pub from_serial: Option<SmolStr>,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self {
            start: None,
            end: None,
            direction: Direction::Backwards,
            limit: 100,
            after: None,
            from_serial: None,
        }
    }
}

/// Some events of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The events, with their positions.
    pub items: Vec<(Position, PresenceMessage)>,
    /// Where the next page starts; `None` after the last that memory holds.
    pub next: Option<Position>,
    /// The oldest event that memory holds of this channel. What is older, a durable store must
    /// add: it has all events from [`Output::Event`](super::Output::Event), in the same order of
    /// positions.
    pub oldest: Option<Position>,
}

impl core::fmt::Display for Position {
    /// As a query parameter: `serial:index`, both hexadecimal.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}:{:x}", self.serial, self.index)
    }
}

/// Not a position in the form that [`Position`] is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: two hexadecimal numbers with a colon between them")]
#[non_exhaustive]
pub struct ParsePositionError;

impl core::str::FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let (serial, index) = text.split_once(':').ok_or(ParsePositionError)?;
        let serial = u64::from_str_radix(serial, 16).map_err(|_| ParsePositionError)?;
        let index = u32::from_str_radix(index, 16).map_err(|_| ParsePositionError)?;
        Ok(Self { serial, index })
    }
}
