//! Who a client is, once its hello was believed, and what it may ask for: the same over a WebSocket and
//! by post.

use async_trait::async_trait;
use tokio::time::Instant;
use tutti_acceptance::{
    accept::{Refusal, Submission, Verdict},
    history, notifications,
    platform::Platform,
    reach::Claim,
    source::Source,
    storage::{Page, Reader, Result as StorageResult, Sighting, Transaction},
    work::{Growth, Work},
};
use tutti_protocol::{
    Code, DeviceId, Epoch, Millis, Seq,
    wire::{self, server_frame::Frame},
};

use super::ending::Ending;
use crate::{app::App, clock::now, hub};

/// A client whose hello was believed.
pub(super) struct Caller<'a> {
    pub(super) app: &'a App,
    pub(super) account: String,
    /// Where what it submits comes from.
    source: Source,
    /// What the switch calls its device.
    device: DeviceId,
    /// What its user does not share with others.
    pub(super) privacy: wire::Privacy,
    /// Whether it wants what the account is notified of.
    notified: bool,
    pub(super) sighting: Sighting,
}

impl<'a> Caller<'a> {
    /// Believes a hello or not.
    pub(super) fn admit(app: &'a App, hello: &wire::Hello) -> Result<Self, Ending> {
        if app.tokens.account(&hello.token).as_ref() != Some(&hello.account) {
            let message = "the token is not valid for this account";
            return Err(Ending::error(Code::Auth, message));
        }
        let device = DeviceId::try_from(&hello.device)
            .map_err(|error| Ending::error(Code::Protocol, error.to_string()))?;
        let source = if hello.passing { Source::Passing(device) } else { Source::Device(device) };
        let platform = Platform::from(hello.platform());
        Ok(Self {
            app,
            account: hello.account.clone(),
            source,
            device: source.addressee().unwrap_or(device),
            privacy: hello.privacy.unwrap_or_default(),
            notified: hello.notifications,
            sighting: Sighting { id: device.to_string(), name: hello.device_name.clone(), platform },
        })
    }

    /// As others see its connection.
    pub(super) fn connection(&self, epoch: u64, status: bool) -> hub::Connection {
        hub::Connection {
            device: self.sighting.id.clone(),
            addressee: self.device,
            name: self.sighting.name.clone(),
            platform: self.sighting.platform,
            epoch: Epoch(epoch),
            since: now(),
            status,
        }
    }

    pub(super) async fn welcome(&self) -> Result<Frame, Ending> {
        let head = self.app.storage.head(&self.account).await?;
        Ok(Frame::Welcome(wire::Welcome {
            log: self.app.storage.log_id().to_bytes(),
            head: head.0,
            server_time: now().0,
            ping_interval: u32::try_from(self.app.limits.ping_interval().as_millis()).unwrap_or(u32::MAX),
            status: true,
            tail: self.app.storage.tail(&self.account).await?.0,
            notifications: true,
        }))
    }

    /// Accepts operations in order: as many as the account may submit now.
    pub(super) async fn submit(&self, mut operations: Vec<wire::Operation>) -> Frame {
        let ids: Vec<_> = operations.iter().map(|operation| operation.id.clone()).collect();
        let wanted = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        let grant = self.app.rates.take(&self.account, wanted, Instant::now().into_std());
        operations.truncate(grant.granted as usize);
        let submission = Submission {
            account: self.account.clone(),
            source: self.source,
            operations,
            include_sender: true,
            notifies: self.app.settings.get().message_notifications,
            hide_reads: self.privacy.hide_reads,
            recall_window: self.app.settings.get().recall_window(),
            reach: self.app.reach(),
            now: now(),
        };
        let mut verdicts = self.app.writer.decide(submission).await;
        // One that has to wait makes those behind it wait, so that they stay in order.
        let rest = Verdict::Refused(Refusal::rate_limited(grant.wait));
        verdicts.resize(ids.len(), rest);
        let outcomes = verdicts.into_iter().zip(ids).map(|(verdict, id)| verdict.into_outcome(id)).collect();
        Frame::Submitted(wire::Submitted { outcomes })
    }

    /// The page that a client asks for.
    pub(super) async fn page(&self, after: Seq) -> Result<Page, Ending> {
        let page = self.news(after).await?;
        if after > page.head {
            let message = "the cursor is beyond the head of the log";
            return Err(Ending::error(Code::Protocol, message));
        }
        if after < page.tail {
            // The next hello learns where the log begins.
            return Err(Ending::error(Code::NotFound, "what comes after the cursor is no longer kept"));
        }
        Ok(page)
    }

    /// What comes after `after`. What waits there for the first device that comes is this one's from now on.
    pub(super) async fn news(&self, after: Seq) -> StorageResult<Page> {
        loop {
            let mut page = self.app.storage.page(&self.account, after, self.device).await?;
            if !page.unclaimed {
                if !self.notified {
                    notifications::withhold(&mut page.events);
                }
                return Ok(page);
            }
            self.claim(after, page.next).await?;
        }
    }

    /// A page as it goes to the client that asked for what comes after `after`.
    pub(super) fn delta(&self, after: Seq, page: Page) -> wire::Delta {
        wire::Delta {
            after: after.0,
            next: page.next.0,
            head: page.head.0,
            events: page.events,
            sync_disabled: !self.app.settings.get().sync_enabled,
        }
    }

    /// A page of how all is now.
    pub(super) async fn snapshot(&self, pull: wire::PullSnapshot) -> Result<Frame, Ending> {
        let (storage, account) = (&*self.app.storage, &self.account);
        let head = storage.head(account).await?;
        if pull.place.is_none() && storage.waits(account, head).await? {
            self.claim(Seq(0), head).await?;
        }
        let from = self.app.settings.get().compensated_since(pull.days, now());
        let page = history::snapshot(storage, account, self.reader(), head, (pull.place, from)).await?;
        Ok(Frame::Snapshot(page))
    }

    /// Messages that a client has not got by itself.
    pub(super) async fn history(&self, pull: wire::PullHistory) -> Result<Frame, Ending> {
        let history = history::history(&*self.app.storage, &self.account, self.reader(), pull).await?;
        Ok(Frame::History(history))
    }

    fn reader(&self) -> Reader {
        let compensated = self.app.settings.get().sync_enabled;
        Reader { device: self.device, compensated, notified: self.notified }
    }

    /// What waits in this stretch of the log for the first device that comes is this one's from now on.
    async fn claim(&self, after: Seq, until: Seq) -> StorageResult<()> {
        let claim = Claim { account: self.account.clone(), device: self.device, after, until };
        self.app.writer.write(claim).await
    }

    /// What logs call the device: one that has no lasting id is not named in what lasts.
    pub(super) fn lasting(&self) -> Option<tracing::field::DisplayValue<DeviceId>> {
        self.source.lasting().map(tracing::field::display)
    }

    /// Notes that the device is here, for others to see, unless it has no lasting id. Not worth failing for: when
    /// the disk is full there is still much to read.
    pub(super) async fn note_sighting(&self) {
        if self.source.lasting().is_none() {
            return;
        }
        let noted = Noted { account: self.account.clone(), sighting: self.sighting.clone(), now: now() };
        if let Err(error) = self.app.writer.write(noted).await {
            tracing::warn!(%error, "a device's appearance was not noted");
        }
    }
}

/// That a device was here.
struct Noted {
    account: String,
    sighting: Sighting,
    now: Millis,
}

#[async_trait]
impl Work for Noted {
    type Answer = ();

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> StorageResult<()> {
        tx.see_device(&self.account, &self.sighting, self.now).await
    }
}
