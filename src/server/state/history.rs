//! The history of a channel: its latest presence events, in memory.

use super::stream;
use crate::Instant;
use crate::server::entry::EventPart;
use crate::server::query::{Direction, HistoryPage, HistoryQuery, MAX_PAGE};
use crate::server::{HistoryOptions, Position};
use crate::wire::{ErrorInfo, PresenceMessage, codes};
use alloc::collections::VecDeque;

/// Estimated bytes of an entry, apart from its data.
const OVERHEAD: usize = 160;

#[derive(Clone, Debug, Default)]
pub(in crate::server) struct History {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// The newest event that was dropped.
    last_dropped: Option<Position>,
}

#[derive(Clone, Debug)]
struct Entry {
    position: Position,
    expires_at: Instant,
    message: PresenceMessage,
    /// Whether the member was present before the event.
    was_present: bool,
}

impl Entry {
    fn size(&self) -> usize {
        self.message.size().saturating_add(OVERHEAD)
    }
}

impl History {
    /// Estimated bytes of the events.
    pub(in crate::server) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Records that an event is not in the history.
    pub(super) const fn skip(&mut self, position: Position) {
        self.last_dropped = Some(position);
    }

    /// Adds an event, and drops the oldest ones beyond the limits. `others`: bytes of other
    /// channels' histories.
    pub(super) fn push(
        &mut self,
        config: &HistoryOptions,
        others: usize,
        now: Instant,
        position: Position,
        message: &PresenceMessage,
        was_present: bool,
    ) {
        let expires_at = now + config.retention;
        let entry = Entry { position, expires_at, message: message.clone(), was_present };
        self.bytes += entry.size();
        self.entries.push_back(entry);
        let room = config.bytes.min(config.total_bytes.saturating_sub(others));
        while self.entries.len() > config.events || self.bytes > room {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    /// The newest event that was dropped.
    pub(super) const fn last_dropped(&self) -> Option<Position> {
        self.last_dropped
    }

    /// Adds an event of a snapshot.
    pub(super) fn restore(
        &mut self,
        config: &HistoryOptions,
        others: usize,
        now: Instant,
        event: EventPart,
    ) {
        if !config.is_enabled() {
            return self.skip(event.position);
        }
        let EventPart { position, left, was_present, message } = event;
        let (config, others) = (*config, others);
        self.push(&config, others, now, position, &message, was_present);
        if let Some(entry) = self.entries.back_mut() {
            entry.expires_at = entry.expires_at.min(now.after(left));
        }
    }

    /// The events from a position on up to a serial, for a snapshot.
    pub(super) fn parts(
        &self,
        now: Instant,
        from: Position,
        to: u64,
    ) -> impl Iterator<Item = EventPart> {
        let first = self.entries.partition_point(|entry| entry.position < from);
        let last = self.entries.partition_point(|entry| entry.position.serial <= to);
        self.entries.range(first..last.max(first)).map(move |entry| EventPart {
            position: entry.position,
            left: u64::try_from(entry.expires_at.saturating_since(now).as_millis())
                .unwrap_or(u64::MAX),
            was_present: entry.was_present,
            message: entry.message.clone(),
        })
    }

    /// When the oldest event expires.
    pub(in crate::server) fn deadline(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.expires_at)
    }

    /// Drops expired events, within the budget but at least one.
    pub(super) fn expire(&mut self, now: Instant, budget: &mut usize) {
        *budget = (*budget).max(1);
        while *budget > 0 && self.entries.front().is_some_and(|entry| entry.expires_at <= now) {
            *budget -= 1;
            self.drop_oldest();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(entry.size());
        self.last_dropped = Some(entry.position);
        true
    }

    /// The events after a serial, each with whether its member was present before. `None` if some
    /// are no longer in memory or if their estimated bytes exceed `room`; otherwise subtracts these
    /// from `room`.
    pub(in crate::server) fn events_after(
        &self,
        serial: u64,
        room: &mut usize,
    ) -> Option<impl Iterator<Item = (&PresenceMessage, bool)>> {
        if self.last_dropped.is_some_and(|last_dropped| last_dropped.serial > serial) {
            return None;
        }
        let from = self.entries.partition_point(|entry| entry.position.serial <= serial);
        let events = self.entries.range(from..);
        *room = events.clone().try_fold(*room, |room, entry| room.checked_sub(entry.size()))?;
        Some(events.map(|entry| (&entry.message, entry.was_present)))
    }

    /// A page of events. Expired events are left out, even if they are still in memory.
    pub(in crate::server) fn page(
        &self,
        now: Instant,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, ErrorInfo> {
        let limit = check_limit(query.limit)?;
        let last = match &query.from_serial {
            Some(serial) => Some(self.until_attach(serial)?),
            None => None,
        };
        let wanted = |entry: &&Entry| {
            let time = entry.message.timestamp.unwrap_or_default();
            entry.expires_at > now
                && query.start.is_none_or(|start| time >= start)
                && query.end.is_none_or(|end| time <= end)
                && last.is_none_or(|last| entry.position.serial <= last)
        };
        let mut page = HistoryPage {
            oldest: self.entries.iter().find(|e| e.expires_at > now).map(|entry| entry.position),
            ..HistoryPage::default()
        };
        let mut add = |entry: &Entry| {
            if page.items.len() == limit {
                page.next = page.items.last().map(|(position, _)| *position);
                return false;
            }
            page.items.push((entry.position, entry.message.clone()));
            true
        };
        match query.direction {
            Direction::Forwards => {
                let from = query.after.map_or(0, |after| {
                    self.entries.partition_point(|entry| entry.position <= after)
                });
                let _ = self.entries.iter().skip(from).filter(wanted).all(&mut add);
            }
            Direction::Backwards => {
                let to = query.after.map_or(self.entries.len(), |after| {
                    self.entries.partition_point(|entry| entry.position < after)
                });
                let _ = self.entries.iter().take(to).rev().filter(wanted).all(&mut add);
            }
        }
        Ok(page)
    }

    /// Serial of the last event before the attach with this channel serial.
    fn until_attach(&self, serial: &str) -> Result<u64, ErrorInfo> {
        let serial = stream::parse_serial(serial).ok_or_else(|| {
            ErrorInfo::new(
                codes::INVALID_PARAMETER_VALUE,
                400,
                "The serial is not from this server",
            )
        })?;
        if self.last_dropped.is_some_and(|last_dropped| last_dropped.serial > serial) {
            return Err(ErrorInfo::new(
                codes::ATTACH_POINT_NOT_FOUND,
                400,
                "The history does not reach back to the attach",
            ));
        }
        Ok(serial)
    }
}

/// Checks the limit of a page.
pub(in crate::server) fn check_limit(limit: usize) -> Result<usize, ErrorInfo> {
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(ErrorInfo::new(
            codes::INVALID_PARAMETER_VALUE,
            400,
            "The limit must be between 1 and 1000",
        ))
    }
}
