//! The durable history of an app: presence events in an embedded database.

use super::{EventStore, Start, StoreError, StoredEvent};
use crate::response::error;
use presence_proto::{
    SmolStr, UnixMillis,
    server::{Direction, HistoryPage, HistoryQuery, KeySecret, MAX_PAGE, Position},
    wire::{Action, ErrorInfo, Format, PresenceAction, PresenceMessage, ProtocolMessage, codes},
};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::{fmt, ops::Bound, sync::Arc};
use tracing::{error, info};

/// Between the name of an app, which has none, and that of a table.
pub(super) const DIVIDER: char = '/';
/// What the tables of an app are called after its name.
pub(super) const TABLES: [&str; 4] = ["events", "events_by_time", "members", "facts"];

/// Channel, serial, index.
type Place = (&'static str, u64, u32);
/// Time, serial, index.
type Moment = (i64, u64, u32);
/// Channel, connection id, client id.
type Who = (&'static str, &'static str, &'static str);

const LAST_SERIAL: &str = "last_serial";
const KEY_SECRET: &str = "key_secret";

/// Old events that one transaction removes, so that the core never waits long for the next one.
const PURGE_BATCH: usize = 1_000;

/// The presence history of an app, in tables of its own in a [`Database`](super::Database).
///
/// The name of the member that was present last is known however old its event is, so that members of
/// a run that ended without a word leave at the start of the next.
pub struct Store {
    app: String,
    database: Arc<Database>,
    tables: Tables,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("app", &self.app).finish_non_exhaustive()
    }
}

/// The names of an app's tables.
struct Tables([String; TABLES.len()]);

impl Tables {
    fn of_app(app: &str) -> Self {
        Self(TABLES.map(|table| format!("{app}{DIVIDER}{table}")))
    }

    /// A frame that holds one event, in MessagePack.
    fn events(&self) -> TableDefinition<'_, Place, &'static [u8]> {
        TableDefinition::new(&self.0[0])
    }

    /// Channels by time, to find old events.
    fn by_time(&self) -> TableDefinition<'_, Moment, &'static str> {
        TableDefinition::new(&self.0[1])
    }

    /// The last event of each present member, as in `events`.
    fn members(&self) -> TableDefinition<'_, Who, &'static [u8]> {
        TableDefinition::new(&self.0[2])
    }

    /// What must outlive a run, by name.
    fn facts(&self) -> TableDefinition<'_, &'static str, &'static [u8]> {
        TableDefinition::new(&self.0[3])
    }
}

impl Store {
    /// The tables of an app. They are made if there are none.
    pub(super) fn of_app(database: &Arc<Database>, app: &str) -> Result<Self, redb::Error> {
        let database = Arc::clone(database);
        let tables = Tables::of_app(app);
        let transaction = database.begin_write()?;
        transaction.open_table(tables.events())?;
        transaction.open_table(tables.by_time())?;
        transaction.open_table(tables.members())?;
        transaction.open_table(tables.facts())?;
        transaction.commit()?;
        Ok(Self { app: app.to_owned(), database, tables })
    }

    /// The largest serial of any run before; zero in a new file.
    pub(super) fn last_serial(&self) -> Result<u64, redb::Error> {
        let facts = self.database.begin_read()?.open_table(self.tables.facts())?;
        let bytes = facts.get(LAST_SERIAL)?.and_then(|bytes| bytes.value().try_into().ok());
        Ok(bytes.map_or(0, u64::from_be_bytes))
    }

    /// The secret of the connection keys, so that this run can verify keys of earlier runs. `fresh`
    /// becomes the secret if there is none.
    pub(super) fn key_secret(&self, fresh: [u8; 32]) -> Result<KeySecret, redb::Error> {
        let transaction = self.database.begin_write()?;
        let secret = {
            let mut facts = transaction.open_table(self.tables.facts())?;
            let known = facts.get(KEY_SECRET)?.and_then(|bytes| bytes.value().try_into().ok());
            match known {
                Some(known) => known,
                None => {
                    facts.insert(KEY_SECRET, fresh.as_slice())?;
                    fresh
                }
            }
        };
        transaction.commit()?;
        Ok(KeySecret(secret))
    }

    /// Appends a leave for each member that was present at the end of the last run, and returns their
    /// number. Must precede the first event of a run.
    ///
    /// Connections do not survive a restart, so a member that returns has a new connection id. The
    /// end of the last run is not known, so the leaves have the present time.
    pub(super) fn end_last_run(&self, now: UnixMillis) -> Result<usize, redb::Error> {
        let serial = self.last_serial()?.saturating_add(1);
        let transaction = self.database.begin_write()?;
        let mut left = Vec::new();
        for entry in transaction.open_table(self.tables.members())?.iter()? {
            let (key, bytes) = entry?;
            let Some(mut leave) = decode(bytes.value()) else { continue };
            leave.action = PresenceAction::Leave;
            // RTP2b1: synthesized, and not earlier than the member's last event.
            leave.id = Some(format!("restart:{serial:016x}:{}", left.len()).into());
            leave.timestamp = leave.timestamp.max(Some(now));
            left.push((SmolStr::new(key.value().0), leave));
        }
        let events: Vec<StoredEvent<'_>> = left
            .iter()
            .zip(0..)
            .map(|((channel, message), index)| {
                let position = Position { serial, index };
                StoredEvent { channel, position, message }
            })
            .collect();
        if !events.is_empty() {
            self.write(&transaction, &events, now)?;
        }
        transaction.commit()?;
        Ok(left.len())
    }

    fn page(
        &self,
        channel: &str,
        query: &HistoryQuery,
        until: u64,
    ) -> Result<HistoryPage, redb::Error> {
        let mut page = HistoryPage::default();
        let mut from = Bound::Included((channel, 0, 0));
        let mut to = Bound::Included((channel, until, u32::MAX));
        match (query.after, query.direction) {
            (Some(after), _) if after.serial > until => return Ok(page),
            (Some(after), Direction::Forwards) => {
                from = Bound::Excluded((channel, after.serial, after.index));
            }
            (Some(after), Direction::Backwards) => {
                to = Bound::Excluded((channel, after.serial, after.index));
            }
            (None, _) => {}
        }
        let events = self.database.begin_read()?.open_table(self.tables.events())?;
        let mut range = events.range::<(&str, u64, u32)>((from, to))?;
        loop {
            let entry = match query.direction {
                Direction::Forwards => range.next(),
                Direction::Backwards => range.next_back(),
            };
            let Some(entry) = entry else { return Ok(page) };
            let (key, bytes) = entry?;
            let (_, serial, index) = key.value();
            let Some(message) = decode(bytes.value()) else { continue };
            let time = message.timestamp.unwrap_or_default();
            if query.start.is_some_and(|start| time < start)
                || query.end.is_some_and(|end| time > end)
            {
                continue;
            }
            if page.items.len() == query.limit {
                page.next = page.items.last().map(|(position, _)| *position);
                return Ok(page);
            }
            page.items.push((Position { serial, index }, message));
        }
    }

    /// Removes some of the events from before a time; false once none is left.
    pub(super) fn purge(&self, before: UnixMillis) -> Result<bool, redb::Error> {
        let transaction = self.database.begin_write()?;
        let removed = {
            let mut events = transaction.open_table(self.tables.events())?;
            let mut by_time = transaction.open_table(self.tables.by_time())?;
            let mut removed = 0;
            let old = by_time.extract_from_if(..(before.as_millis(), 0, 0), |_, _| true)?;
            for entry in old.take(PURGE_BATCH) {
                let (key, channel) = entry?;
                let (_, serial, index) = key.value();
                events.remove((channel.value(), serial, index))?;
                removed += 1;
            }
            removed
        };
        transaction.commit()?;
        Ok(removed == PURGE_BATCH)
    }

    /// Writes events, and updates the present members.
    fn write(
        &self,
        transaction: &WriteTransaction,
        events: &[StoredEvent<'_>],
        now: UnixMillis,
    ) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(self.tables.events())?;
        let mut by_time = transaction.open_table(self.tables.by_time())?;
        let mut members = transaction.open_table(self.tables.members())?;
        let mut facts = transaction.open_table(self.tables.facts())?;
        let mut bytes = Vec::new();
        let mut last = 0;
        for StoredEvent { channel, position: Position { serial, index }, message } in events {
            bytes.clear();
            let mut frame = ProtocolMessage::new(Action::Presence);
            frame.presence.push((*message).clone());
            frame.encode_into(Format::MessagePack, &mut bytes);
            // A leave is later than its member, so its timestamp can be ahead of the clock. Its
            // retention counts from the clock.
            let time = message.timestamp.unwrap_or_default().min(now).as_millis();
            table.insert((channel.as_str(), *serial, *index), bytes.as_slice())?;
            by_time.insert((time, *serial, *index), channel.as_str())?;
            let connection_id = message.connection_id.as_deref().unwrap_or_default();
            let client_id = message.client_id.as_deref().unwrap_or_default();
            let member = (channel.as_str(), connection_id, client_id);
            if message.action == PresenceAction::Leave {
                members.remove(member)?;
            } else {
                members.insert(member, bytes.as_slice())?;
            }
            last = last.max(*serial);
        }
        facts.insert(LAST_SERIAL, last.to_be_bytes().as_slice())?;
        Ok(())
    }
}

impl EventStore for Store {
    fn start(&self, now: UnixMillis) -> Result<Start, StoreError> {
        let left = self.end_last_run(now)?;
        if left > 0 {
            info!(
                app = self.app,
                left, "the members of the last run have left, with an event each"
            );
        }
        Ok(Start {
            first_serial: self.last_serial()?.saturating_add(1),
            key_secret: Some(self.key_secret(crate::random()?)?),
        })
    }

    fn append(&self, events: &[StoredEvent<'_>], now: UnixMillis) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        self.write(&transaction, events, now)?;
        transaction.commit()?;
        Ok(())
    }

    fn history(&self, channel: &str, query: &HistoryQuery) -> Result<HistoryPage, ErrorInfo> {
        if !(1..=MAX_PAGE).contains(&query.limit) {
            return Err(error(
                codes::INVALID_PARAMETER_VALUE,
                400,
                format!("limit must be between 1 and {MAX_PAGE}"),
            ));
        }
        let until = match &query.from_serial {
            None => u64::MAX,
            Some(serial) => u64::from_str_radix(serial, 16).map_err(|_| {
                error(codes::INVALID_PARAMETER_VALUE, 400, "The serial is malformed")
            })?,
        };
        self.page(channel, query, until).map_err(|failure| {
            error!("the history cannot be read: {failure}");
            error(codes::INTERNAL_ERROR, 500, "The history cannot be read")
        })
    }
}

fn decode(bytes: &[u8]) -> Option<PresenceMessage> {
    ProtocolMessage::decode(Format::MessagePack, bytes).ok()?.presence.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A time after all that is stored.
    const LATER: UnixMillis = UnixMillis::from_millis(1_000_000);

    fn store() -> Store {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend).unwrap();
        Store::of_app(&Arc::new(database), "app").unwrap()
    }

    /// Ten events, a second apart and two of each serial, in each of two channels.
    fn filled() -> Store {
        let store = store();
        for n in 0..10 {
            for (channel, serial) in [("a", n / 2 * 2 + 1), ("b", n / 2 * 2 + 2)] {
                let mut message = PresenceMessage::new(PresenceAction::Update)
                    .with_client_id(format!("{channel}{n}"));
                message.timestamp = Some(UnixMillis::from_millis(n * 1000));
                let position = Position { serial: serial as u64, index: n as u32 % 2 };
                let record = StoredEvent { channel: &channel.into(), position, message: &message };
                store.append(&[record], LATER).unwrap();
            }
        }
        store
    }

    fn pages(store: &Store, query: &HistoryQuery) -> Vec<String> {
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            let page = store.history("a", &query).unwrap();
            assert!(page.items.len() <= query.limit);
            found.extend(page.items.into_iter().map(|(_, m)| m.client_id.unwrap().to_string()));
            if page.next.is_none() {
                return found;
            }
            query.after = page.next;
        }
    }

    fn named(numbers: impl IntoIterator<Item = i32>) -> Vec<String> {
        numbers.into_iter().map(|n| format!("a{n}")).collect()
    }

    #[test]
    fn pages_go_both_ways_and_meet_the_bounds() {
        let store = filled();
        for limit in [1, 3, 5, 10, 100] {
            let mut query = HistoryQuery::default();
            query.limit = limit;
            assert_eq!(pages(&store, &query), named((0..10).rev()));
            query.start = Some(UnixMillis::from_millis(2000));
            query.end = Some(UnixMillis::from_millis(7000));
            assert_eq!(pages(&store, &query), named((2..=7).rev()));
            query.direction = Direction::Forwards;
            assert_eq!(pages(&store, &query), named(2..=7));
            query.from_serial = Some("0000000000000005".into());
            assert_eq!(pages(&store, &query), named(2..=5));
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let store = filled();
        let mut query = HistoryQuery::default();
        for limit in [0, MAX_PAGE + 1] {
            query.limit = limit;
            assert_eq!(store.history("a", &query).unwrap_err().code, 40003);
        }
        query.limit = 1;
        query.from_serial = Some("xyz".into());
        assert_eq!(store.history("a", &query).unwrap_err().code, 40003);
    }

    #[test]
    fn old_events_go_and_newer_ones_stay() {
        let store = filled();
        assert!(!store.purge(UnixMillis::from_millis(4000)).unwrap());
        assert_eq!(pages(&store, &HistoryQuery::default()), named((4..10).rev()));
        assert!(!store.purge(UnixMillis::from_millis(i64::MAX)).unwrap());
        assert_eq!(pages(&store, &HistoryQuery::default()), named([]));
    }

    #[test]
    fn a_wall_clock_that_was_ahead_keeps_nothing_longer_and_hides_nothing() {
        let store = store();
        for (n, time) in [(0, 1_000), (1, 9_000), (2, 2_000), (3, 3_000)] {
            let mut message =
                PresenceMessage::new(PresenceAction::Update).with_client_id(format!("a{n}"));
            message.timestamp = Some(UnixMillis::from_millis(time));
            let position = Position { serial: n, index: 0 };
            let record = StoredEvent { channel: &"a".into(), position, message: &message };
            store.append(&[record], UnixMillis::from_millis(1_000 * n as i64)).unwrap();
        }
        let mut query = HistoryQuery::default();
        query.end = Some(UnixMillis::from_millis(3_000));
        for limit in [1, 2, 100] {
            query.limit = limit;
            assert_eq!(pages(&store, &query), named([3, 2, 0]));
        }
        store.purge(UnixMillis::from_millis(1_500)).unwrap();
        assert_eq!(pages(&store, &HistoryQuery::default()), named([3, 2]));
    }

    #[test]
    fn events_that_stay_are_on_one_page_though_others_come_and_go_meanwhile() {
        for direction in [Direction::Backwards, Direction::Forwards] {
            let store = filled();
            let mut query = HistoryQuery::default();
            query.direction = direction;
            query.limit = 3;
            let first = store.history("a", &query).unwrap();
            // What the page ended with is gone, and something new is there.
            store.purge(UnixMillis::from_millis(4_000)).unwrap();
            let mut message = PresenceMessage::new(PresenceAction::Update).with_client_id("a10");
            message.timestamp = Some(UnixMillis::from_millis(10_000));
            let position = Position { serial: 11, index: 0 };
            let record = StoredEvent { channel: &"a".into(), position, message: &message };
            store.append(&[record], LATER).unwrap();
            query.after = first.next;
            let rest = pages(&store, &query);
            match direction {
                Direction::Backwards => assert_eq!(rest, named([6, 5, 4])),
                Direction::Forwards => assert_eq!(rest, named(4..=10)),
            }
        }
    }

    #[test]
    fn who_was_present_when_a_run_ended_has_left_in_the_next() {
        let store = store();
        let time = |millis| Some(UnixMillis::from_millis(millis));
        let member = |client: &str, action, data: &str, at| {
            let mut message = PresenceMessage::new(action).with_client_id(client).with_data(data);
            message.connection_id = Some("conn".into());
            message.id = Some("conn:0:0".into());
            message.timestamp = time(at);
            message
        };
        use PresenceAction::{Enter, Leave, Update};
        for (serial, message) in [
            (1, member("stays", Enter, "1", 10)),
            (2, member("leaves", Enter, "1", 20)),
            (3, member("ahead", Enter, "1", 9_000)),
            (4, member("stays", Update, "2", 30)),
            (5, member("leaves", Leave, "1", 40)),
        ] {
            let position = Position { serial, index: 0 };
            let record = StoredEvent { channel: &"a".into(), position, message: &message };
            store.append(&[record], LATER).unwrap();
        }
        // Old events go; who is present is known all the same.
        store.purge(UnixMillis::from_millis(35)).unwrap();
        assert_eq!(store.end_last_run(UnixMillis::from_millis(5_000)).unwrap(), 2);
        let mut query = HistoryQuery::default();
        query.direction = Direction::Forwards;
        let page = store.history("a", &query).unwrap();
        let told: Vec<_> = page
            .items
            .iter()
            .skip(2)
            .map(|(position, m)| (position.serial, m.action, m.client_id.clone(), m.timestamp))
            .collect();
        assert_eq!(
            told,
            [
                (6, Leave, Some("ahead".into()), time(9_000)),
                (6, Leave, Some("stays".into()), time(5_000)),
            ]
        );
        let last = &page.items[3].1;
        assert_eq!(last.data, Some("2".into()));
        assert!(!last.id.as_deref().unwrap().starts_with("conn"));
        assert_eq!(store.last_serial().unwrap(), 6);
        // They have left once and for all.
        assert_eq!(store.end_last_run(UnixMillis::from_millis(6_000)).unwrap(), 0);
        assert_eq!(store.last_serial().unwrap(), 6);
    }

    #[test]
    fn serials_and_the_secret_outlive_a_run() {
        assert_eq!(store().last_serial().unwrap(), 0);
        let store = filled();
        assert_eq!(store.last_serial().unwrap(), 10);
        assert_eq!(store.key_secret([1; 32]).unwrap().0, [1; 32]);
        assert_eq!(store.key_secret([2; 32]).unwrap().0, [1; 32]);
    }
}
