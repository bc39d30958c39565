//! Which of an account's devices get a message: all, where they are kept in step; else one.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use tutti_protocol::{DeviceId, Seq};

use crate::{
    storage::{Addressee, Result, Touched, Transaction},
    work::{Growth, Work},
};

/// Which devices of an account get a message.
#[derive(Clone, Debug)]
pub enum Reach {
    /// All, those too that come later: they are kept in step.
    All,
    /// One: that which is there, or else the first that comes.
    One(Arc<dyn Online>),
}

/// Who is there.
#[async_trait]
pub trait Online: fmt::Debug + Send + Sync {
    /// Of an account's devices that are there, the one on which its user did something last, as messages are addressed
    /// to it.
    async fn device(&self, account: &str) -> Option<DeviceId>;
}

impl Reach {
    pub(crate) async fn addressee(&self, account: &str) -> Addressee {
        match self {
            Self::All => Addressee::All,
            Self::One(online) => online.device(account).await.map_or(Addressee::First, Addressee::Device),
        }
    }
}

/// A device that comes for what waits in its account's log, after one seq and up to another, for the first
/// that does.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Whose log.
    pub account: String,
    /// Which device.
    pub device: DeviceId,
    /// What lies after this …
    pub after: Seq,
    /// … up to and with this.
    pub until: Seq,
}

#[async_trait]
impl Work for Claim {
    type Answer = ();

    fn tell_touched(&self, touched: &mut Touched) {
        touched.accounts.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> Result<()> {
        tx.claim(&self.account, self.device, self.after, self.until).await
    }
}
