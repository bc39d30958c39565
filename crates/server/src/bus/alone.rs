//! One server: all is in its memory, and nobody else is to be told anything.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_trait::async_trait;

use super::{Allowance, Bus, Heard, Word};
use crate::{
    limits::Limits,
    rate::{AccountRates, Grant},
    roster::{Roster, ServerId},
};

/// What one server knows.
pub(crate) struct Alone {
    rates: Rates,
    rosters: Mutex<HashMap<String, Roster>>,
}

impl Alone {
    /// Nothing is known.
    #[must_use]
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { rates: Rates::new(limits), rosters: Mutex::default() }
    }

    /// No code can panic while it holds this lock, so a poisoned one is as good as any.
    fn rosters(&self) -> MutexGuard<'_, HashMap<String, Roster>> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for Alone {
    async fn change_with(&self, account: &str, change: &mut (dyn for<'a> FnMut(&'a mut Roster) + Send)) {
        let mut rosters = self.rosters();
        change(rosters.entry(account.to_owned()).or_default());
        // What says nothing need not be kept.
        if rosters.get(account).is_some_and(|roster| *roster == Roster::default()) {
            rosters.remove(account);
        }
    }

    async fn look(&self, account: &str) -> Roster {
        self.rosters().get(account).cloned().unwrap_or_default()
    }

    async fn take(&self, allowance: Allowance, account: &str, wanted: u32) -> Grant {
        self.rates.take(allowance, account, wanted)
    }

    fn publish(&self, _: Word) {}

    async fn heard(&self) -> Heard {
        std::future::pending().await
    }

    fn server(&self) -> ServerId {
        ServerId::default()
    }

    async fn forget(&self, _: ServerId) {}

    async fn leave(&self) {}
}

/// What accounts may do, as far as this server knows.
pub(super) struct Rates {
    operations: AccountRates,
    posts: AccountRates,
}

impl Rates {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { operations: AccountRates::new(limits.operations()), posts: AccountRates::new(limits.frames()) }
    }

    pub(super) fn take(&self, allowance: Allowance, account: &str, wanted: u32) -> Grant {
        let rates = match allowance {
            Allowance::Operations => &self.operations,
            Allowance::Posts => &self.posts,
        };
        rates.take(account, wanted, Instant::now())
    }
}
