//! Queries of the host: members and history of a channel.

use super::Position;
use crate::SmolStr;
use crate::UnixMillis;
use crate::members::{Member, MemberSet, Slot};
use crate::wire::{PresenceAction, PresenceMessage};
use alloc::vec::Vec;

/// Maximum of items in a page (RSP3a1, RSP4b3).
pub const MAX_PAGE: usize = 1_000;

/// A query for members (RSP3).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PresenceQuery {
    /// Only members of this client id (RSP3a2).
    pub client_id: Option<SmolStr>,
    /// Only members of this connection (RSP3a3).
    pub connection_id: Option<SmolStr>,
    /// Maximum of members in the page: 1 to [`MAX_PAGE`]. Default: 100.
    pub limit: usize,
    /// Start of the page: [`PresencePage::next`] of the previous page. Default: the first page.
    pub after: Option<u32>,
}

impl Default for PresenceQuery {
    fn default() -> Self {
        Self { client_id: None, connection_id: None, limit: 100, after: None }
    }
}

/// A page of members, as PRESENT messages. A member that stays is on exactly one page, even if
/// others enter and leave between the queries.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PresencePage {
    /// The members.
    pub items: Vec<PresenceMessage>,
    /// Start of the next page; `None` on the last page.
    pub next: Option<u32>,
}

impl PresencePage {
    /// Collects at most `limit` members. The next page starts at the first member that is left out.
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

/// The order of a page of history (RSP4b2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum Direction {
    /// Newest first.
    #[default]
    Backwards,
    /// Oldest first.
    Forwards,
}

/// A query for presence events (RSP4, RTP12).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// Earliest timestamp, inclusive (RSP4b1).
    pub start: Option<UnixMillis>,
    /// Latest timestamp, inclusive (RSP4b1).
    pub end: Option<UnixMillis>,
    /// The order. Default: newest first.
    pub direction: Direction,
    /// Maximum of events in the page: 1 to [`MAX_PAGE`]. Default: 100.
    pub limit: usize,
    /// Start of the page, exclusive: [`HistoryPage::next`] of the previous page. Default: the first
    /// page.
    pub after: Option<Position>,
    /// Only events before the attach with this channel serial (`untilAttach`, RTL10b).
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

/// A page of the presence events of a channel.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The events, with their positions.
    pub items: Vec<(Position, PresenceMessage)>,
    /// Start of the next page; `None` on the last page in memory.
    pub next: Option<Position>,
    /// The oldest event of the channel in memory. Older ones must come from a durable store, which
    /// has every event from [`Output::Event`](super::Output::Event), in the same order of
    /// positions.
    pub oldest: Option<Position>,
}

impl core::fmt::Display for Position {
    /// Formats a query parameter: `serial:index`, both hexadecimal.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:016x}:{:x}", self.serial, self.index)
    }
}

/// The text is not a [`Position`].
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
