//! Subscriptions to the presence events of a channel (RTP6, RTP7).

use crate::SubscriptionId;
use crate::wire::PresenceAction;
use alloc::{sync::Arc, vec::Vec};

/// The subscriptions that receive an event: at least one, without duplicates. A clone shares the
/// list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribers(Arc<Vec<SubscriptionId>>);

impl Subscribers {
    pub(super) fn one(subscription: SubscriptionId) -> Self {
        Self(Arc::new(alloc::vec![subscription]))
    }

    /// The subscriptions, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = SubscriptionId> + '_ {
        self.0.iter().copied()
    }

    /// Whether the list contains a subscription.
    #[must_use]
    pub fn contains(&self, subscription: SubscriptionId) -> bool {
        self.0.contains(&subscription)
    }
}

/// A set of presence actions, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions(u8);

impl Actions {
    /// The set of these actions; of all actions if the list is empty.
    pub(super) fn new(actions: &[PresenceAction]) -> Self {
        if actions.is_empty() {
            return Self(u8::MAX);
        }
        Self(actions.iter().fold(0, |set, &action| set | bit(action)))
    }

    pub(super) fn contains(self, action: PresenceAction) -> bool {
        self.0 & bit(action) != 0
    }
}

/// Number of different values of [`index`].
const ACTIONS: usize = 5;

/// The index of an action; 0 for those that cannot be subscribed to.
const fn index(action: PresenceAction) -> usize {
    match action {
        PresenceAction::Absent | PresenceAction::Unknown(_) => 0,
        PresenceAction::Present => 1,
        PresenceAction::Enter => 2,
        PresenceAction::Leave => 3,
        PresenceAction::Update => 4,
    }
}

const fn bit(action: PresenceAction) -> u8 {
    (1 << index(action)) & !1
}

/// The subscriptions of a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<(SubscriptionId, Actions)>,
    /// The subscriptions that include an action, by [`index`]; `None` if there are none.
    by_action: [Option<Subscribers>; ACTIONS],
}

impl Subscriptions {
    /// The subscriptions that include an action, if any.
    pub(super) fn matching(&self, action: PresenceAction) -> Option<&Subscribers> {
        self.by_action.get(index(action))?.as_ref()
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn contains(&self, subscription: SubscriptionId) -> bool {
        self.list.iter().any(|&(id, _)| id == subscription)
    }

    pub(super) fn insert(&mut self, subscription: SubscriptionId, actions: Actions) {
        self.list.retain(|&(id, _)| id != subscription);
        self.list.push((subscription, actions));
        self.rebuild_index();
    }

    /// Removes one subscription, or all. `false` if there is no such subscription.
    pub(super) fn remove(&mut self, subscription: Option<SubscriptionId>) -> bool {
        let before = self.list.len();
        self.list.retain(|&(id, _)| subscription.is_some_and(|s| s != id));
        self.rebuild_index();
        subscription.is_none() || self.list.len() < before
    }

    fn rebuild_index(&mut self) {
        for (action, by_action) in self.by_action.iter_mut().enumerate() {
            let includes = |actions: Actions| actions.0 & (1 << action) & !1 != 0;
            let list = self.list.iter().filter(|&&(_, actions)| includes(actions));
            let ids: Vec<SubscriptionId> = list.map(|&(id, _)| id).collect();
            *by_action = (!ids.is_empty()).then(|| Subscribers(Arc::new(ids)));
        }
    }
}
