//! Who wants which presence events of a channel (RTP6, RTP7).

use crate::SubscriptionId;
use crate::wire::PresenceAction;
use alloc::vec::Vec;

/// A set of presence actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Actions(u8);

impl Actions {
    /// The actions named; all of them if none is.
    pub(super) fn of(actions: &[PresenceAction]) -> Self {
        if actions.is_empty() {
            return Self(u8::MAX);
        }
        Self(actions.iter().fold(0, |set, &action| set | bit(action)))
    }

    pub(super) const fn contains(self, action: PresenceAction) -> bool {
        self.0 & bit(action) != 0
    }
}

const fn bit(action: PresenceAction) -> u8 {
    match action {
        PresenceAction::Absent | PresenceAction::Unknown(_) => 0,
        PresenceAction::Present => 1,
        PresenceAction::Enter => 2,
        PresenceAction::Leave => 4,
        PresenceAction::Update => 8,
    }
}

/// The subscriptions of a channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Subscriptions {
    list: Vec<(SubscriptionId, Actions)>,
    /// What any of them wants.
    wanted: Actions,
}

impl Subscriptions {
    pub(super) const fn want(&self, action: PresenceAction) -> bool {
        self.wanted.contains(action)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn contains(&self, subscription: SubscriptionId) -> bool {
        self.list.iter().any(|&(id, _)| id == subscription)
    }

    pub(super) fn put(&mut self, subscription: SubscriptionId, actions: Actions) {
        self.list.retain(|&(id, _)| id != subscription);
        self.list.push((subscription, actions));
        self.sum_up();
    }

    /// Takes one out, or all; `false` if there is no such subscription.
    pub(super) fn remove(&mut self, subscription: Option<SubscriptionId>) -> bool {
        let before = self.list.len();
        self.list.retain(|&(id, _)| subscription.is_some_and(|s| s != id));
        self.sum_up();
        subscription.is_none() || self.list.len() < before
    }

    fn sum_up(&mut self) {
        self.wanted = Actions(self.list.iter().fold(0, |sum, &(_, actions)| sum | actions.0));
    }
}
