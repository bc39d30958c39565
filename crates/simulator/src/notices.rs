//! What accounts were notified of and how their users marked that, told by a model that is too simple to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tutti_engine::RequestId;
use tutti_protocol::{OperationId, notification::is_erased, wire};

/// Whose notification, and which.
type Of = (String, OperationId);

/// What accounts were notified of.
#[derive(Debug, Default)]
pub struct Notices {
    notices: BTreeMap<Of, Notice>,
    /// Marks that are not promised yet.
    calls: BTreeMap<RequestId, (Of, i32)>,
}

#[derive(Debug)]
struct Notice {
    title: String,
    message: Bytes,
    /// The furthest that a user has asked for, and that was promised.
    asked: i32,
    promised: i32,
}

/// Whether a message that somebody is notified of must be gone, or may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recalled {
    /// It must.
    pub surely: bool,
    /// It may.
    pub maybe: bool,
}

impl Notices {
    /// The back end has notified accounts of something, of which they may know already.
    pub fn notified(&mut self, accounts: &BTreeSet<String>, notification: &wire::Notification) {
        let id = OperationId::try_from(&notification.id).expect("an id");
        for account in accounts {
            let (title, message) = (notification.title.clone(), notification.message.clone());
            let notice = || Notice { title, message, asked: 0, promised: 0 };
            self.notices.entry((account.clone(), id)).or_insert_with(notice);
        }
    }

    /// A user marks a notification.
    pub fn marks(
        &mut self,
        request: RequestId,
        account: &str,
        id: OperationId,
        state: wire::NotificationState,
    ) {
        let (of, state) = ((account.to_owned(), id), state.into());
        if let Some(notice) = self.notices.get_mut(&of) {
            notice.asked = notice.asked.max(state);
        }
        self.calls.insert(request, (of, state));
    }

    /// A call was done.
    pub fn done(&mut self, request: RequestId) {
        if let Some((of, state)) = self.calls.remove(&request)
            && let Some(notice) = self.notices.get_mut(&of)
        {
            notice.promised = notice.promised.max(state);
        }
    }

    /// What no store has in it any more: titles of what is about messages that are gone.
    pub fn erased(&self, recalled: impl Fn(&Bytes) -> Recalled) -> Vec<Bytes> {
        let gone = self.notices.values().filter(|notice| recalled(&notice.message).surely);
        gone.map(|notice| Bytes::from(notice.title.clone())).collect()
    }

    /// Of all that an account was notified of, it is kept how far that has come, and what it says, unless that was
    /// about a message that is gone. `replaced`: something was lost with a store or a log.
    pub fn check(
        &self,
        account: &str,
        kept: &[wire::Notification],
        recalled: impl Fn(&Bytes) -> Recalled,
        replaced: bool,
    ) {
        let find = |id: &OperationId| kept.iter().find(|it| it.id[..] == id.as_bytes()[..]);
        for ((_, id), notice) in self.notices.iter().filter(|((of, _), _)| of == account) {
            let gone = recalled(&notice.message);
            let Some(kept) = find(id) else {
                assert!(gone.maybe || replaced, "lost: {account} was notified of {notice:?}");
                continue;
            };
            if is_erased(kept) {
                assert!(gone.maybe, "lost: {account} has no words of {notice:?}");
                assert_eq!(kept.state(), wire::NotificationState::Dismissed, "divergent: {kept:?}");
                continue;
            }
            assert!(!gone.surely || replaced, "kept: {kept:?} is about what was recalled");
            assert_eq!(kept.title, notice.title, "divergent: {account} was notified of something else");
            let least = if replaced { 0 } else { notice.promised };
            let right = (least..=notice.asked).contains(&kept.state);
            assert!(right, "divergent: {account} has {kept:?} after {notice:?}");
        }
        for kept in kept {
            let id = OperationId::try_from(&kept.id).expect("an id");
            let known = self.notices.contains_key(&(account.to_owned(), id));
            assert!(known, "divergent: nobody has notified {account} of {kept:?}");
        }
    }
}
