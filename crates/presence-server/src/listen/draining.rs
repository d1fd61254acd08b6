//! The end of a run: nobody is left without a word.

use std::time::Duration;
use tokio::time::timeout;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How long a WebSocket may take to be told, beyond the time that draining is given: a full send
/// queue goes out in it.
const FLOOR: Duration = Duration::from_secs(10);
/// How long sockets may take to close once all has been written to them.
const CLOSING: Duration = Duration::from_secs(5);

/// What a run still has to do for its peers.
#[derive(Clone, Default)]
pub(crate) struct Draining {
    /// WebSockets to which the server has something to write, if only that they end.
    untold: TaskTracker,
    /// Open sockets.
    open: TaskTracker,
    stopping: CancellationToken,
}

impl Draining {
    /// A WebSocket has been opened. The token is dropped when all has been written to it.
    pub(crate) fn untold(&self) -> TaskTrackerToken {
        self.untold.token()
    }

    /// A socket has been opened. The token is dropped when it is closed.
    pub(crate) fn open(&self) -> TaskTrackerToken {
        self.open.token()
    }

    /// Waits until HTTP connections are to end.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// How many WebSockets have not been told that they end.
    pub(crate) fn left(&self) -> usize {
        self.untold.len()
    }

    /// Waits until all WebSockets have been told and all sockets are closed, or the time is up.
    pub(crate) async fn finish(&self, over: Duration) {
        self.stopping.cancel();
        self.untold.close();
        self.open.close();
        if timeout(over.saturating_add(FLOOR), self.untold.wait()).await.is_ok() {
            // Whoever does not close has been told all the same.
            let _ = timeout(CLOSING, self.open.wait()).await;
        }
    }
}
