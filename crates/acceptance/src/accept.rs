//! What an operation does to the logs. All of it happens in one transaction, so an operation takes effect
//! entirely or not at all, and once however often it is sent. Of many operations, the first may be
//! committed before the last.

pub(crate) mod change;
mod notice;
mod read;
mod share;

use std::{collections::BTreeSet, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tutti_protocol::{
    Code, Conversation, InvalidConversation, Millis, OperationId, Seq, Timestamp, codec, limits,
    wire::{self, operation::Body},
};

use crate::{
    merge::Stamp,
    reach::Reach,
    source::Source,
    storage::{
        AccountKey, Addressee, Addressees, Delivery, Entry, NewMessage, News, Receipt, Result, Storage,
        StorageError, Touched, Transaction,
    },
    work::{Growth, Work, perform},
};

/// How long to wait before an operation is sent again that the storage refused, in milliseconds.
const RETRY_AFTER: u32 = 1_000;

/// Operations of one account, in order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who submits.
    pub account: String,
    /// From where.
    pub source: Source,
    /// What was done.
    pub operations: Vec<wire::Operation>,
    /// Whether the submitter's own log gets what is sent.
    pub include_sender: bool,
    /// Whether accounts are notified of the messages that they get.
    pub notifies: bool,
    /// Whether the submitter keeps from others how far it has read.
    pub hide_reads: bool,
    /// How long after it was sent a message can be recalled; none: for as long as it is kept.
    pub recall_window: Option<Duration>,
    /// Which devices of an account get what is sent.
    pub reach: Reach,
    /// When it came.
    pub now: Millis,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has taken effect, now or when it came first.
    Accepted {
        /// Its event in the submitter's log; 0: none.
        seq: Seq,
        /// When.
        at: Millis,
    },
    /// It has changed nothing.
    Refused(Refusal),
}

/// Why an operation changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In one word.
    pub code: Code,
    /// For people.
    pub message: String,
    /// Milliseconds until it may be sent again; 0: it is final.
    pub retry_after: u32,
}

impl Refusal {
    fn finally(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: 0 }
    }

    /// Too many operations in too short a time.
    #[must_use]
    pub fn rate_limited(wait: Duration) -> Self {
        let millis = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        Self {
            code: Code::RateLimited,
            message: "too many operations".to_owned(),
            retry_after: millis.saturating_add(1),
        }
    }

    /// The storage refused; it may come round. What it said stays on this side.
    #[must_use]
    pub fn storage() -> Self {
        Self {
            code: Code::Internal,
            message: "the server cannot store this now".to_owned(),
            retry_after: RETRY_AFTER,
        }
    }

    /// The message is there for the submitter to read, but another account has sent it.
    #[must_use]
    pub fn anothers_message() -> Self {
        Self::finally(Code::Forbidden, "only its sender can change a message")
    }

    /// What was not kept, or never was this account's.
    fn no_notification() -> Self {
        Self::finally(Code::NotFound, "no such notification")
    }

    fn no_conversation() -> Self {
        Self::finally(Code::NotFound, "no such conversation")
    }

    /// The account was erased: nothing comes from it any more, and nothing comes to it.
    #[must_use]
    pub fn erased(account: &str) -> Self {
        Self::finally(Code::NotFound, format!("{account} was erased"))
    }
}

impl From<Refusal> for wire::Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.as_str().to_owned(),
            message: refusal.message,
            retry_after: refusal.retry_after,
        }
    }
}

impl Verdict {
    /// The verdict on an operation, as it goes over the wire.
    #[must_use]
    pub fn into_outcome(self, id: Bytes) -> wire::Outcome {
        let result = match self {
            Self::Accepted { seq, .. } => wire::outcome::Result::Accepted(wire::Accepted { seq: seq.0 }),
            Self::Refused(refusal) => wire::outcome::Result::Refused(refusal.into()),
        };
        wire::Outcome { id, result: Some(result) }
    }
}

/// A submission on its way through as many transactions as it takes: one verdict an operation, in order.
#[derive(Clone, Debug)]
pub struct Decision {
    rest: Submission,
    verdicts: Vec<Verdict>,
}

impl From<Submission> for Decision {
    fn from(submission: Submission) -> Self {
        Self { rest: submission, verdicts: Vec::new() }
    }
}

impl Decision {
    /// What is left to be done in the next transaction.
    #[must_use]
    pub fn rest(&self) -> Option<Submission> {
        (!self.rest.operations.is_empty()).then(|| self.rest.clone())
    }

    /// Notes what a transaction has decided of the rest. What the storage refuses is refused with all that
    /// comes after it, so the order stays.
    pub fn note(&mut self, decided: Result<Vec<Verdict>>) {
        match decided {
            Ok(decided) => {
                self.rest.operations.drain(..decided.len());
                self.verdicts.extend(decided);
            }
            Err(_) => {
                let refused = Verdict::Refused(Refusal::storage());
                self.verdicts.extend(self.rest.operations.drain(..).map(|_| refused.clone()));
            }
        }
    }

    /// One verdict an operation, in order.
    #[must_use]
    pub fn verdicts(self) -> Vec<Verdict> {
        self.verdicts
    }
}

/// Has a submission decided in transactions of its own. Notes whose logs have grown by it.
pub async fn decide(
    storage: &dyn Storage,
    submission: Submission,
    grown: &mut BTreeSet<String>,
) -> Vec<Verdict> {
    let mut decision = Decision::from(submission);
    while let Some(rest) = decision.rest() {
        let decided = perform(storage, &rest).await;
        decision.note(decided.map(|(verdicts, growth)| {
            grown.extend(growth.accounts().cloned());
            verdicts
        }));
    }
    decision.verdicts()
}

#[async_trait]
impl Work for Submission {
    /// One verdict an operation, in order: of the first, as many as the transaction takes, at least
    /// one.
    type Answer = Vec<Verdict>;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.accounts.insert(self.account.clone());
        for operation in &self.operations {
            touch(operation, touched);
        }
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Vec<Verdict>> {
        let key = tx.account(&self.account).await?;
        if tx.erased(&[&self.account]).await?.is_some() {
            let refused = Verdict::Refused(Refusal::erased(&self.account));
            return Ok(vec![refused; self.operations.len()]);
        }
        let mut submitter = Submitter { key, submission: self, tx, growth };
        let mut verdicts = Vec::with_capacity(self.operations.len());
        for operation in &self.operations {
            verdicts.push(match submitter.accept(operation).await {
                Ok((seq, at)) => Verdict::Accepted { seq, at },
                Err(Stop::Refused(refusal)) => Verdict::Refused(refusal),
                Err(Stop::Storage(error)) => return Err(error),
            });
            submitter.growth.count_operation();
            if submitter.growth.is_enough() {
                break;
            }
        }
        Ok(verdicts)
    }
}

/// Why an operation goes no further.
enum Stop {
    /// It is refused; the others are not concerned.
    Refused(Refusal),
    /// Nothing goes any further.
    Storage(StorageError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<InvalidConversation> for Stop {
    fn from(error: InvalidConversation) -> Self {
        Self::Refused(Refusal::finally(Code::Invalid, error.to_string()))
    }
}

/// An account whose operations are being accepted.
struct Submitter<'a> {
    key: AccountKey,
    submission: &'a Submission,
    tx: &'a mut dyn Transaction,
    growth: &'a mut Growth,
}

/// Who gets a message.
struct Audience {
    /// Everyone but the sender.
    others: BTreeSet<String>,
    /// What the others call the conversation.
    conversation: String,
    /// Which of the sender's own devices get it too, if any do.
    own: Option<Addressee>,
}

impl Submitter<'_> {
    /// Accepts an operation, or finds that it was accepted before.
    async fn accept(&mut self, operation: &wire::Operation) -> Result<(Seq, Millis), Stop> {
        codec::check_operation(operation)
            .map_err(|error| Refusal::finally(Code::Invalid, error.to_string()))?;
        let id = OperationId::try_from(&operation.id)
            .map_err(|error| Refusal::finally(Code::Invalid, error.to_string()))?;
        let digest = digest(operation, self.submission.include_sender);
        if let Some(receipt) = self.tx.receipt(self.key, id).await? {
            if receipt.digest != digest {
                return Err(conflict().into());
            }
            return Ok((receipt.seq, receipt.accepted_at));
        }
        let seq = match &operation.body {
            Some(Body::Send(send)) => self.send(id, send).await?,
            Some(Body::MarkRead(read)) => self.mark_read(id, read).await?,
            Some(Body::Edit(edit)) => self.edit(id, edit, operation.clock).await?,
            Some(Body::Recall(recall)) => self.recall(id, recall).await?,
            Some(Body::Set(set)) => self.set(id, set, operation.clock).await?,
            Some(Body::MarkNotification(mark)) => self.mark_notification(id, mark).await?,
            None => return Err(Refusal::finally(Code::Invalid, "an empty operation").into()),
        };
        let receipt = Receipt { digest, seq, accepted_at: self.submission.now };
        self.tx.keep_receipt(self.key, id, &receipt).await?;
        Ok((seq, receipt.accepted_at))
    }

    /// Writes a message into the log of everyone who is to get it.
    async fn send(&mut self, id: OperationId, send: &wire::Send) -> Result<Seq, Stop> {
        let Submission { account: sender, source, .. } = self.submission;
        let device = source.lasting();
        let Audience { others, conversation, own } = self.audience(&send.conversation).await?;
        let message = NewMessage {
            id,
            sender,
            device: device.as_ref().map(|device| &device.as_bytes()[..]),
            kind: &send.r#type,
            content: &send.content,
            sent_at: self.submission.now,
        };
        // Message ids are unique among all accounts: clients find messages by id alone.
        let message = (self.tx.store_message(&message).await?).ok_or_else(conflict)?;
        let mut seq = Seq(0);
        if let Some(own) = own {
            let place = self.tx.next_place(self.key, &send.conversation).await?;
            seq = self.append(id, Entry::Message(message, place, own)).await?;
        }
        if !others.is_empty() {
            let conversation = &conversation;
            let delivery = Delivery { operation: Some(id), conversation, news: News::Message(message) };
            let mut to = Addressees::new();
            for account in &others {
                to.insert(account.clone(), self.submission.reach.addressee(account).await);
            }
            self.tx.deliver(&to, delivery).await?;
            self.growth.add_entries(others.iter().cloned());
            self.notify(id, send, conversation, &others).await?;
        }
        Ok(seq)
    }

    /// Who gets what is sent to a conversation.
    async fn audience(&mut self, conversation: &str) -> Result<Audience, Stop> {
        let Submission { account, include_sender, .. } = self.submission;
        let own = self.own_addressee().await;
        let included = own.filter(|_| *include_sender);
        match Conversation::parse(conversation)? {
            // Whoever writes to himself is who it is for.
            Conversation::Direct(other) if other == account => Ok(Audience {
                others: BTreeSet::new(),
                conversation: conversation.to_owned(),
                own: own.or(Some(Addressee::First)),
            }),
            Conversation::Direct(other) => {
                if self.tx.erased(&[other]).await?.is_some() {
                    return Err(Refusal::erased(other).into());
                }
                Ok(Audience {
                    others: BTreeSet::from([other.to_owned()]),
                    conversation: Conversation::Direct(account).to_string(),
                    own: included,
                })
            }
            Conversation::Group(group) => {
                let mut others = self.tx.group(group).await?.unwrap_or_default();
                if !others.remove(account) {
                    return Err(Refusal::no_conversation().into());
                }
                Ok(Audience { others, conversation: conversation.to_owned(), own: included })
            }
        }
    }

    /// Which of the submitter's devices get what is sent. If only one may, that is the one that sends; what the
    /// back end sends in the name of somebody who is not there reaches none.
    async fn own_addressee(&mut self) -> Option<Addressee> {
        let Submission { account, source, reach, .. } = self.submission;
        match (reach, source.addressee()) {
            (Reach::One(_), Some(device)) => Some(Addressee::Device(device)),
            _ => Some(reach.addressee(account).await).filter(|addressee| *addressee != Addressee::First),
        }
    }

    /// What the others call a conversation of the submitter.
    fn name_for_others(&self, conversation: &str) -> Result<String, Stop> {
        Ok(match Conversation::parse(conversation)? {
            Conversation::Direct(_) => Conversation::Direct(&self.submission.account).to_string(),
            Conversation::Group(_) => conversation.to_owned(),
        })
    }

    /// What decides between this and what other devices decided of the same. A clock that is far ahead would win for
    /// as long as it is.
    fn stamp(&self, clock: u64, decided: &[u8]) -> Result<Stamp, Refusal> {
        let now = self.submission.now;
        let clock = Timestamp(clock);
        if clock.millis() > now.plus(limits::CLOCK_AHEAD) {
            let message = format!("the device's clock is too far ahead: the server's says {}", now.0);
            return Err(Refusal::finally(Code::Invalid, message));
        }
        Ok(Stamp { clock, device: self.submission.source.mark(decided) })
    }

    /// Writes into the submitter's own log.
    async fn append(&mut self, id: OperationId, entry: Entry) -> Result<Seq> {
        let seq = self.tx.append(self.key, id, entry).await?;
        self.growth.add_entries([self.submission.account.clone()]);
        Ok(seq)
    }
}

/// Notes what an operation will be done to. What it says was not checked yet: what is invalid touches nothing.
fn touch(operation: &wire::Operation, touched: &mut Touched) {
    let conversation = match &operation.body {
        Some(Body::Send(send)) => &send.conversation,
        Some(Body::MarkRead(read)) => &read.conversation,
        Some(Body::Edit(wire::Edit { message, .. }) | Body::Recall(wire::Recall { message })) => {
            touched.messages.extend(OperationId::try_from(message).ok());
            return;
        }
        Some(Body::Set(_) | Body::MarkNotification(_)) | None => return,
    };
    let to_all = matches!(operation.body, Some(Body::Send(_)));
    match Conversation::parse(conversation) {
        Ok(Conversation::Direct(other)) => touched.accounts.insert(other.to_owned()),
        Ok(Conversation::Group(group)) if to_all => touched.groups.insert(group.to_owned()),
        Ok(Conversation::Group(group)) => touched.readers.insert(group.to_owned()),
        Err(_) => false,
    };
}

pub(crate) fn conflict() -> Refusal {
    Refusal::finally(Code::Conflict, "this id was used for something else")
}

/// What an operation says, apart from its id and its clock. The schema's encoding is the same every
/// time, since nothing in it is a map.
fn digest(operation: &wire::Operation, include_sender: bool) -> [u8; 32] {
    let said = wire::Operation { id: Bytes::new(), clock: 0, body: operation.body.clone() };
    Sha256::new()
        .chain_update([u8::from(include_sender)])
        .chain_update(said.encode_to_vec())
        .finalize()
        .into()
}
