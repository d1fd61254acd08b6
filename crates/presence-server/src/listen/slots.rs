//! The limit of connections: regular slots, and a few spare ones.
//!
//! A connection keeps its slot while its socket is open. When all regular slots are taken, a connection
//! with a spare slot may send one request. Health checks and metrics are answered; other requests need
//! a regular slot by then, or get 503.

use crate::response::{Accept, Problem, error};
use axum::{
    Extension,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use presence_proto::wire::codes;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the limit, for health checks.
pub(crate) const SPARE: usize = 32;

/// The slots of one listener.
pub(crate) struct Slots {
    regular: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

/// A connection's slot. It is free again when all clones are dropped.
#[derive(Clone)]
pub(crate) struct Slot {
    held: Arc<Mutex<Held>>,
    regular: Arc<Semaphore>,
}

struct Held {
    is_regular: bool,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    /// `most` slots, and `spare` ones.
    pub(crate) fn new(most: usize, spare: usize) -> Self {
        let semaphore = |most: usize| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { regular: semaphore(most), spare: semaphore(spare) }
    }

    /// Waits for a slot; a spare one only if there is no other.
    pub(crate) async fn take(&self) -> Option<Slot> {
        let (permit, is_regular) = tokio::select! {
            biased;
            permit = Arc::clone(&self.regular).acquire_owned() => (permit, true),
            permit = Arc::clone(&self.spare).acquire_owned() => (permit, false),
        };
        // The semaphores are never closed.
        let held = Arc::new(Mutex::new(Held { is_regular, _permit: permit.ok()? }));
        Some(Slot { held, regular: Arc::clone(&self.regular) })
    }
}

impl Slot {
    /// Changes a spare slot for a regular one. False if none is free.
    pub(crate) fn become_regular(&self) -> bool {
        let mut held = self.held();
        if held.is_regular {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.regular).try_acquire_owned() else { return false };
        *held = Held { is_regular: true, _permit: permit };
        true
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Admits a request whose connection has a slot or gets one now. A connection that another listener
/// accepted has none and needs none.
pub(crate) async fn admit(slot: Option<Extension<Slot>>, request: Request, next: Next) -> Response {
    if slot.is_none_or(|Extension(slot)| slot.become_regular()) {
        return next.run(request).await;
    }
    let error = error(codes::TIMEOUT_ERROR, 503, "There are too many connections");
    Problem { error, accept: Accept::asked_by(&request) }.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(slots: &Slots) -> (usize, usize) {
        (slots.regular.available_permits(), slots.spare.available_permits())
    }

    #[tokio::test]
    async fn a_spare_slot_becomes_a_regular_one_once_there_is_one() {
        let slots = Slots::new(1, 1);
        let first = slots.take().await.unwrap();
        let second = slots.take().await.unwrap();
        assert_eq!(free(&slots), (0, 0));
        assert!(first.become_regular());
        assert!(!second.become_regular());
        drop(first);
        assert!(second.become_regular());
        assert_eq!(free(&slots), (0, 1));
        drop(second);
        assert_eq!(free(&slots), (1, 1));
    }
}
