//! What a client does about its account's devices.

use tutti_acceptance::{
    accept::Refusal,
    devices::{Remove, Rename, SetPush, Subscription},
    storage::StorageError,
};
use tutti_protocol::{
    Code,
    wire::{self, manage::What, server_frame::Frame},
};

use super::caller::Caller;
use crate::{
    bus::Allowance,
    clock::now,
    push::{SubscribeError, SubscriptionError},
};

impl Caller<'_> {
    /// Does it, if the account may do more now, and says what came of it.
    pub(super) async fn manage(&self, manage: wire::Manage) -> Frame {
        let (number, done) = (manage.number, self.try_to_manage(manage.what).await);
        Frame::Managed(match done {
            Ok(devices) => wire::Managed { number, devices, ..wire::Managed::default() },
            Err(refusal) => {
                let code = refusal.code.as_str().to_owned();
                wire::Managed { number, code, message: refusal.message, devices: None }
            }
        })
    }

    async fn try_to_manage(&self, what: Option<What>) -> Result<Option<wire::Devices>, Refusal> {
        let grant = self.app.bus.take(Allowance::Operations, &self.account, 1).await;
        if grant.granted == 0 {
            return Err(Refusal::rate_limited(grant.wait));
        }
        let is_there = match what {
            Some(What::List(_)) => {
                let devices = self.app.lists.get(&self.account).await;
                return devices.map(Some).map_err(refused);
            }
            Some(What::Rename(rename)) => self.rename(rename).await,
            Some(What::Remove(remove)) => self.remove(remove.device).await,
            Some(What::SetPush(push)) => self.set_push(push).await,
            None => Err(refusal(Code::Protocol, "nothing is to be done")),
        };
        if is_there? { Ok(None) } else { Err(refusal(Code::NotFound, "there is no such device")) }
    }

    async fn rename(&self, rename: wire::RenameDevice) -> Result<bool, Refusal> {
        let wire::RenameDevice { device, name } = rename;
        let rename = Rename { account: self.account.clone(), device, name };
        self.app.writer.write(rename).await.map_err(refused)
    }

    async fn remove(&self, device: String) -> Result<bool, Refusal> {
        let by = self.lasting_id().map(str::to_owned);
        let remove = Remove { account: self.account.clone(), device, by, now: now() };
        self.app.writer.write(remove).await.map_err(refused)
    }

    async fn set_push(&self, push: wire::SetPush) -> Result<bool, Refusal> {
        let Some(device) = self.lasting_id().map(str::to_owned) else {
            return Err(refusal(Code::Unsupported, "a device without a lasting id is not pushed to"));
        };
        let set = SetPush { account: self.account.clone(), device, push: self.subscription(push)? };
        self.app.writer.write(set).await.map_err(refused)
    }

    /// The subscription that a device wants, if it is one that may be pushed to; none: it wants none any more.
    fn subscription(&self, push: wire::SetPush) -> Result<Option<Subscription>, Refusal> {
        let wire::SetPush { endpoint, p256dh, auth } = push;
        if endpoint.is_empty() {
            return Ok(None);
        }
        self.app.push.subscription(&endpoint, &p256dh, &auth).map_err(|error| {
            let code = match &error {
                SubscribeError::Off(_) => Code::Unsupported,
                SubscribeError::Subscription(SubscriptionError::NotAllowed(_)) => Code::Forbidden,
                SubscribeError::Subscription(_) => Code::Invalid,
            };
            refusal(code, &error.to_string())
        })?;
        Ok(Some(Subscription { endpoint, p256dh, auth }))
    }
}

fn refused(error: StorageError) -> Refusal {
    tracing::error!(%error, "nothing was done about a device");
    Refusal::storage()
}

fn refusal(code: Code, message: &str) -> Refusal {
    Refusal { code, message: message.to_owned(), retry_after: 0 }
}
