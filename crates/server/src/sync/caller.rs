//! Who a client is, once its hello was believed, and what it may ask for: the same over a WebSocket and
//! by post.

use std::{collections::BTreeSet, sync::Arc};

use tutti_acceptance::{
    accept::{Refusal, Submission, Verdict},
    devices::{Appear, Barred, Known, Sighting},
    history, notifications,
    platform::Platform,
    reach::Claim,
    source::Source,
    storage::{Page, Reader, Result as StorageResult},
};
use tutti_protocol::{
    Code, DeviceId, LogId, Seq,
    wire::{self, server_frame::Frame},
};

use super::ending::Ending;
use crate::{app::App, bus::Allowance, clock::now, roster::Connection, tokens::UserToken};

/// A client whose hello was believed.
pub(super) struct Caller<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) account: String,
    /// What it came with, or has brought since.
    token: UserToken,
    /// Where what it submits comes from.
    source: Source,
    /// What the switch calls its device.
    device: DeviceId,
    /// What its user does not share with others.
    pub(super) privacy: wire::Privacy,
    /// Whether it wants what the account is notified of.
    notified: bool,
    pub(super) sighting: Sighting,
    /// What others are to call it.
    name: String,
}

impl<'a> Caller<'a> {
    /// Believes a hello or not. A device that was removed, itself or with its account, learns that first: for that its
    /// token may have expired.
    pub(super) async fn admit(app: &'a Arc<App>, hello: &wire::Hello) -> Result<Self, Ending> {
        let token = read_token(app, &hello.token, &hello.account)?;
        let device = DeviceId::try_from(&hello.device)
            .map_err(|error| Ending::error(Code::Protocol, error.to_string()))?;
        let source = if hello.passing { Source::Passing(device) } else { Source::Device(device) };
        let (id, name) = (device.to_string(), hello.device_name.clone());
        let shown = shown_name(app, &hello.account, &id, &name).await?;
        let caller = Self {
            app,
            account: hello.account.clone(),
            token,
            source,
            device: source.addressee().unwrap_or(device),
            privacy: hello.privacy.unwrap_or_default(),
            notified: hello.notifications,
            sighting: Sighting { id, name, platform: Platform::from(hello.platform()) },
            name: shown,
        };
        if caller.token.has_expired() {
            return Err(expired());
        }
        caller.check(&caller.token).await?;
        Ok(caller)
    }

    /// Goes on with another token.
    pub(super) async fn refresh(&mut self, text: &str) -> Result<Frame, Ending> {
        let token = read_token(self.app, text, &self.account)?;
        if token.has_lapsed() {
            return Err(expired());
        }
        self.check(&token).await?;
        self.token = token;
        self.appear().await?;
        Ok(Frame::Refreshed(wire::Refreshed { token_ttl: self.token.ttl() }))
    }

    /// Waits until the token has expired, and no other has come in time.
    pub(super) async fn expired(&self) -> Ending {
        self.token.lapsed().await;
        expired()
    }

    /// Whether a token of the account is good for this device, as long as it lasts.
    async fn check(&self, token: &UserToken) -> Result<(), Ending> {
        let keepers = self.app.storage.token_keepers(&self.account, token.is.mark).await?;
        let may_use = |keepers: &BTreeSet<String>| self.lasting_id().is_some_and(|id| keepers.contains(id));
        if keepers.is_some_and(|keepers| !may_use(&keepers)) {
            return Err(Barred::Token.into());
        }
        if !token.is_for(&self.sighting.id) {
            return Err(Ending::error(Code::Auth, "the token is for another device"));
        }
        Ok(())
    }

    /// As others see its connection.
    pub(super) fn connection(&self, epoch: u64) -> Connection {
        Connection {
            device: self.sighting.id.clone(),
            addressee: self.device,
            name: self.name.clone(),
            platform: self.sighting.platform,
            epoch,
            since: now().0,
        }
    }

    pub(super) async fn welcome(&self, hello: &wire::Hello) -> Result<Frame, Ending> {
        let head = self.app.storage.head(&self.account).await?;
        let log = self.app.storage.log_id().to_bytes();
        if hello.log == log && hello.cursor > head.0 {
            tracing::warn!(
                "a device knows more of its log than there is: if the database was put back to an earlier state, stop                  the server and start it with --restored, once"
            );
        }
        Ok(Frame::Welcome(wire::Welcome {
            log,
            head: head.0,
            server_time: now().0,
            ping_interval: u32::try_from(self.app.limits.ping_interval().as_millis()).unwrap_or(u32::MAX),
            status: true,
            tail: self.app.storage.tail(&self.account).await?.0,
            notifications: true,
            devices: true,
            token_ttl: self.token.ttl(),
            common: LogId::try_from(&hello.log)
                .ok()
                .and_then(|log| self.app.storage.common(log))
                .unwrap_or_default()
                .0,
        }))
    }

    /// Accepts operations in order: as many as the account may submit now.
    pub(super) async fn submit(&self, mut operations: Vec<wire::Operation>) -> Frame {
        let ids: Vec<_> = operations.iter().map(|operation| operation.id.clone()).collect();
        let wanted = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        let grant = self.app.bus.take(Allowance::Operations, &self.account, wanted).await;
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

    /// The page that a client asks for, which may have been read already.
    pub(super) async fn page(&self, after: Seq, ahead: Option<Page>) -> Result<Page, Ending> {
        // What comes after the newest page may be there by now, and nobody would hear of it again.
        let ahead = ahead.filter(|page| page.next < page.head && !page.unclaimed);
        let page = match ahead {
            Some(page) => self.shown(page),
            None => self.news(after).await?,
        };
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
            let page = self.app.storage.page(&self.account, after, self.device).await?;
            if !page.unclaimed {
                return Ok(self.shown(page));
            }
            self.claim(after, page.next).await?;
        }
    }

    /// A page without what this client does not want.
    fn shown(&self, mut page: Page) -> Page {
        if !self.notified {
            notifications::withhold(&mut page.events);
        }
        page
    }

    /// Reads what comes after `after`, to have it at hand when the client asks for it.
    pub(super) fn read_ahead(&self, after: Seq) -> impl Future<Output = Option<Page>> + use<> {
        let (app, account, device) = (self.app.clone(), self.account.clone(), self.device);
        // What cannot be read now is read again when it is asked for.
        async move { app.storage.page(&account, after, device).await.ok() }
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

    /// The device's id, if it is one that lasts.
    pub(super) fn lasting_id(&self) -> Option<&str> {
        self.source.lasting().map(|_| self.sighting.id.as_str())
    }

    /// Notes that the device is here, for others to see, and with which token, unless it has no lasting id. It may
    /// have been removed a moment ago, or its account erased: whoever has a place when it is asked here is told of what
    /// comes later.
    pub(super) async fn appear(&self) -> Result<(), Ending> {
        match self.note_sighting().await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(barred)) => Err(barred.into()),
            // Not worth failing for: when the disk is full there is still much to read.
            Err(error) => {
                tracing::warn!(%error, "a device's appearance was not noted");
                self.look_whether_removed().await
            }
        }
    }

    /// Looks whether the device was removed, or its account erased.
    pub(super) async fn look_whether_removed(&self) -> Result<(), Ending> {
        shown_name(self.app, &self.account, &self.sighting.id, "").await?;
        self.check(&self.token).await
    }

    /// Notes that the device was here until now.
    pub(super) async fn disappear(&self) {
        if let Err(error) = self.note_sighting().await {
            tracing::warn!(%error, "a device's disappearance was not noted");
        }
    }

    async fn note_sighting(&self) -> StorageResult<Result<(), Barred>> {
        if self.source.lasting().is_none() {
            let erased = self.app.storage.erased(&self.account).await?;
            return Ok(erased.map_or(Ok(()), |at| Err(Barred::erased(at))));
        }
        let (account, sighting) = (self.account.clone(), self.sighting.clone());
        self.app.writer.write(Appear { account, sighting, token: self.token.is, now: now() }).await
    }
}

/// A token of an account, though it may have expired.
fn read_token(app: &App, text: &str, account: &str) -> Result<UserToken, Ending> {
    let token = app.tokens.read(text).filter(|token| token.account == account);
    token.ok_or_else(|| Ending::error(Code::Auth, "the token is not valid for this account"))
}

fn expired() -> Ending {
    Ending::error(Code::Auth, "the token has expired")
}

/// What others are to call a device that calls itself so, if it was not removed, nor its account erased.
async fn shown_name(app: &App, account: &str, device: &str, name: &str) -> Result<String, Ending> {
    if let Some(at) = app.storage.erased(account).await? {
        return Err(Barred::erased(at).into());
    }
    match app.storage.device(account, device).await? {
        Some(Known::Removed(removed)) => Err(Ending::Revoked(removed.by)),
        Some(Known::Listed(known)) if known.renamed => Ok(known.name),
        _ => Ok(name.to_owned()),
    }
}
