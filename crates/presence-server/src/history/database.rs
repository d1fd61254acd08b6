//! The file that holds the durable histories of all apps.

use super::{
    Store, StoreError,
    store::{DIVIDER, TABLES},
};
use crate::private;
use presence_proto::{Clock, UnixMillis};
use redb::{ReadableDatabase, TableDefinition, TableHandle, backends::FileBackend};
use std::{collections::BTreeSet, fmt, path::Path, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::interval};
use tracing::error;

/// The interval at which expired events are removed.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// A file with the presence histories of some apps, in an embedded database (redb).
///
/// It holds the secrets of the connection keys too, and so is created with mode 0600.
#[derive(Clone)]
pub struct Database(Arc<redb::Database>);

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

impl Database {
    /// Opens or creates the file for these apps, with a cache of `cache` bytes.
    ///
    /// A file written before apps were separate belongs to the app, if there is only one. Logs a
    /// warning if other users of the machine can read the file.
    ///
    /// # Errors
    ///
    /// The file cannot be opened; or it was written before apps were separate, and there are several.
    pub fn open(path: &Path, cache: usize, apps: &[&str]) -> Result<Self, StoreError> {
        let file = FileBackend::new(private::open_or_create(path)?)?;
        Self::new(builder(cache).create_with_backend(file)?, apps)
    }

    fn new(database: redb::Database, apps: &[&str]) -> Result<Self, StoreError> {
        let this = Self(Arc::new(database));
        this.adopt(apps)?;
        Ok(this)
    }

    /// The history of an app.
    ///
    /// # Errors
    ///
    /// Its tables cannot be created.
    pub fn store(&self, app: &str) -> Result<Store, StoreError> {
        Ok(Store::of_app(&self.0, app)?)
    }

    /// Removes events that are older than `retention`, every minute, until the returned future is
    /// dropped. Also those of apps that have no key any more.
    pub async fn expire(self, retention: Duration) {
        let retention = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let mut interval = interval(EXPIRY_INTERVAL);
        loop {
            interval.tick().await;
            let before = Clock::wall().as_millis().saturating_sub(retention);
            let this = self.clone();
            let work = spawn_blocking(move || this.purge(UnixMillis::from_millis(before)));
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => error!("old events cannot be removed: {failure}"),
                Err(_stopping) => return,
            }
        }
    }

    /// Removes the events from before a time.
    fn purge(&self, before: UnixMillis) -> Result<(), StoreError> {
        for store in self.stores()? {
            while store.purge(before)? {}
        }
        Ok(())
    }

    /// The histories of all apps that the file has ever been used for.
    fn stores(&self) -> Result<Vec<Store>, StoreError> {
        let apps: BTreeSet<String> = self
            .tables()?
            .iter()
            .filter_map(|table| Some(table.split_once(DIVIDER)?.0.to_owned()))
            .collect();
        apps.iter().map(|app| self.store(app)).collect()
    }

    fn tables(&self) -> Result<Vec<String>, redb::Error> {
        let transaction = self.0.begin_read()?;
        Ok(transaction.list_tables()?.map(|table| table.name().to_owned()).collect())
    }

    /// Moves tables from before apps were separate to the only app.
    fn adopt(&self, apps: &[&str]) -> Result<(), StoreError> {
        let tables = self.tables()?;
        let old: Vec<_> = TABLES.iter().filter(|name| tables.iter().any(|t| t == *name)).collect();
        if old.is_empty() {
            return Ok(());
        }
        let [app] = apps else {
            return Err(format!(
                "the file was written when apps were not kept apart, and there are keys of {} \
                 apps: start the server once with the keys of the one app that it is to belong \
                 to, or use another file",
                apps.len()
            )
            .into());
        };
        let transaction = self.0.begin_write()?;
        for table in old {
            let new = format!("{app}{DIVIDER}{table}");
            // Only the name counts.
            let named = |name| TableDefinition::<'_, (), ()>::new(name);
            transaction.rename_table(named(table), named(&new))?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// A builder with a cache of `cache` bytes.
fn builder(cache: usize) -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(cache);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{EventStore as _, StoredEvent};
    use presence_proto::{
        UnixMillis,
        server::{HistoryQuery, Position},
        wire::{PresenceAction, PresenceMessage},
    };
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const NOW: UnixMillis = UnixMillis::from_millis(1_000);

    fn in_memory() -> redb::Database {
        builder(1 << 20).create_with_backend(redb::backends::InMemoryBackend::new()).unwrap()
    }

    fn append(store: &Store, serial: u64, message: &PresenceMessage) {
        let position = Position { serial, index: 0 };
        store.append(&[StoredEvent::new(&"a".into(), position, message)], NOW).unwrap();
    }

    /// Somebody enters the channel.
    fn enter(store: &Store, serial: u64, client_id: &str) {
        let mut message = PresenceMessage::new(PresenceAction::Enter).with_client_id(client_id);
        message.timestamp = Some(NOW);
        append(store, serial, &message);
    }

    fn told(store: &Store) -> Vec<String> {
        let page = store.history("a", &HistoryQuery::default()).unwrap();
        page.items.into_iter().map(|(_, m)| m.client_id.unwrap().to_string()).collect()
    }

    #[test]
    fn the_apps_of_one_file_share_nothing() {
        let database = Database::new(in_memory(), &["a", "b"]).unwrap();
        let (a, b) = (database.store("a").unwrap(), database.store("b").unwrap());
        enter(&a, 7, "of a");
        enter(&b, 7, "of b");
        assert_eq!((told(&a), told(&b)), (vec!["of a".to_owned()], vec!["of b".to_owned()]));
        enter(&a, 9, "of a too");
        assert_eq!((a.last_serial().unwrap(), b.last_serial().unwrap()), (9, 7));
        assert_eq!(a.key_secret([1; 32]).unwrap().0, [1; 32]);
        assert_eq!(b.key_secret([2; 32]).unwrap().0, [2; 32]);
        // Who was present in one run of both has left in the next of one.
        assert_eq!(a.end_last_run(NOW).unwrap(), 2);
        assert_eq!(told(&b), ["of b"]);
        assert_eq!(b.end_last_run(NOW).unwrap(), 1);
    }

    #[test]
    fn the_events_of_an_app_that_has_no_key_any_more_become_old_as_well() {
        let database = Database::new(in_memory(), &["a"]).unwrap();
        for app in ["a", "gone"] {
            enter(&database.store(app).unwrap(), 1, "who");
        }
        database.purge(UnixMillis::from_millis(2_000)).unwrap();
        assert_eq!(told(&database.store("gone").unwrap()), [""; 0]);
        assert_eq!(database.stores().unwrap().len(), 2);
    }

    /// A file from before apps were kept apart, in which somebody has entered.
    fn from_before() -> redb::Database {
        let database = Database::new(in_memory(), &["x"]).unwrap();
        let store = database.store("x").unwrap();
        enter(&store, 5, "from before");
        store.key_secret([5; 32]).unwrap();
        drop(store);
        let transaction = database.0.begin_write().unwrap();
        for table in TABLES {
            let named = |name| TableDefinition::<'_, (), ()>::new(name);
            transaction.rename_table(named(&format!("x/{table}")), named(table)).unwrap();
        }
        transaction.commit().unwrap();
        Arc::into_inner(database.0).unwrap()
    }

    #[test]
    fn a_file_from_before_apps_were_kept_apart_belongs_to_the_only_app() {
        let database = Database::new(from_before(), &["only"]).unwrap();
        let store = database.store("only").unwrap();
        assert_eq!(told(&store), ["from before"]);
        assert_eq!(store.last_serial().unwrap(), 5);
        assert_eq!(store.key_secret([1; 32]).unwrap().0, [5; 32]);
        assert_eq!(store.end_last_run(NOW).unwrap(), 1);
        // From then on others may come.
        drop(store);
        let database = Database::new(Arc::into_inner(database.0).unwrap(), &["only", "b"]).unwrap();
        assert_eq!(told(&database.store("only").unwrap()).len(), 2);
        assert_eq!(told(&database.store("b").unwrap()), [""; 0]);
    }

    #[test]
    fn a_file_from_before_is_not_given_to_several_apps_and_stays_as_it_is() {
        let database = from_before();
        let this = Database(Arc::new(database));
        let refused = this.adopt(&["a", "b"]).unwrap_err().to_string();
        assert!(
            refused.contains("keys of 2 apps: start the server once with the keys"),
            "{refused}"
        );
        this.adopt(&["a"]).unwrap();
        assert_eq!(told(&this.store("a").unwrap()), ["from before"]);
    }

    /// Keeps a database in memory, and counts how often it is read.
    #[derive(Debug, Default)]
    struct Counting {
        memory: redb::backends::InMemoryBackend,
        reads: Arc<AtomicUsize>,
    }

    impl redb::StorageBackend for Counting {
        fn len(&self) -> Result<u64, std::io::Error> {
            self.memory.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
            self.reads.fetch_add(1, Relaxed);
            self.memory.read(offset, out)
        }

        fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
            self.memory.set_len(len)
        }

        fn sync_data(&self) -> Result<(), std::io::Error> {
            self.memory.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
            self.memory.write(offset, data)
        }
    }

    /// How often four MiB of events are read from the file when they are asked for once more.
    fn reads_again(cache: usize) -> usize {
        let backend = Counting::default();
        let reads = Arc::clone(&backend.reads);
        let file = builder(cache).create_with_backend(backend).unwrap();
        let store = Database::new(file, &[]).unwrap().store("app").unwrap();
        let mut message =
            PresenceMessage::new(PresenceAction::Update).with_data("x".repeat(64 << 10));
        message.timestamp = Some(UnixMillis::from_millis(1));
        for serial in 1..=64 {
            append(&store, serial, &message);
        }
        let all = || store.history("a", &HistoryQuery::default()).unwrap().items.len();
        assert_eq!(all(), 64);
        let before = reads.load(Relaxed);
        assert_eq!(all(), 64);
        reads.load(Relaxed) - before
    }

    #[test]
    fn the_cache_is_as_large_as_it_was_given() {
        assert_eq!(reads_again(64 << 20), 0);
        assert!(reads_again(1 << 20) >= 48);
    }
}
