//! Shutdown: every connection is informed before the process ends.

use std::time::Duration;
use tokio::time::timeout;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Time in which a WebSocket must be informed, beyond the time of the drain: enough for a full send
/// queue.
const FLOOR: Duration = Duration::from_secs(10);
/// How long sockets may take to close once all has been written to them.
const CLOSING: Duration = Duration::from_secs(5);

/// The work that is left for peers.
#[derive(Clone, Default)]
pub(crate) struct Draining {
    /// WebSockets to which the server has something to write, if only that they end.
    uninformed: TaskTracker,
    /// Open sockets.
    open: TaskTracker,
    stopping: CancellationToken,
}

impl Draining {
    /// A WebSocket has been opened. The token is dropped when all has been written to it.
    pub(crate) fn uninformed(&self) -> TaskTrackerToken {
        self.uninformed.token()
    }

    /// A socket has been opened. The token is dropped when it is closed.
    pub(crate) fn open(&self) -> TaskTrackerToken {
        self.open.token()
    }

    /// Waits until HTTP connections are to end.
    pub(crate) async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// The number of WebSockets that have not been informed that they end.
    pub(crate) fn left(&self) -> usize {
        self.uninformed.len()
    }

    /// Waits until all WebSockets are informed and all sockets are closed, or the time is up.
    pub(crate) async fn finish(&self, over: Duration) {
        self.stopping.cancel();
        self.uninformed.close();
        self.open.close();
        if timeout(over.saturating_add(FLOOR), self.uninformed.wait()).await.is_ok() {
            // A peer that does not close is informed all the same.
            let _ = timeout(CLOSING, self.open.wait()).await;
        }
    }
}
