//! What must have come of a history in the end, told by a model that is too simple to be wrong: it knows
//! what users asked for and what they were promised, and nothing of how that is kept.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tutti_engine::{Replica, RequestId};
use tutti_protocol::{Conversation, Millis, OperationId, wire};

use crate::{
    notices::{Notices, Recalled},
    server::{Server, View, decided::Decided},
    vocabulary::TEAM,
    world::{At, DEVICE_NAME},
};

/// What users asked for, and what they were promised.
#[derive(Debug, Default)]
pub struct Model {
    /// All that was ever said. No two say the same.
    said: BTreeMap<Bytes, Said>,
    /// What was promised to be safe, in order, by the tab that promised it.
    promised: BTreeMap<At, Vec<Bytes>>,
    /// How far users have said that they have read, by call, until that is promised to be kept.
    marks: BTreeMap<RequestId, Mark>,
    /// How far each account has read a conversation: at least, and at most.
    read: BTreeMap<(String, String), (u64, u64)>,
    /// Everyone who ever was in a group, who always was, and who is now.
    groups: BTreeMap<String, Members>,
    /// What each tab's user said in a conversation, in order.
    order: BTreeMap<(At, String), Vec<Bytes>>,
    /// What was on its way when a tab was opened, and comes before what is said in it.
    before: BTreeMap<(At, String), Vec<Bytes>>,
    /// What must be so when a wish to be in step is fulfilled.
    syncs: BTreeMap<RequestId, InStep>,
    /// What was erased, and which tabs have it in memory.
    held: BTreeMap<Bytes, BTreeSet<At>>,
    /// What its profile or the server has lost since, through no fault of ours.
    excused: BTreeSet<Bytes>,
    /// The server's log or a profile's copy was replaced: what is told may be told again.
    replaced: bool,
    /// The server does not keep what is old: who comes back late begins anew, and is told again.
    trimmed: bool,
    /// What was wanted of messages, by id.
    changes: BTreeMap<OperationId, Wanted>,
    /// What was set, by account, target and field.
    fields: BTreeMap<(String, String, String), Wishes>,
    /// Calls that are not answered yet.
    calls: BTreeMap<RequestId, Call>,
    /// Profiles whose device has gone by several ids: what one tab wishes, several devices decide.
    renamed: BTreeSet<usize>,
    /// Messages that were given up before they were sent, and that was promised.
    stopped: BTreeSet<OperationId>,
    /// Something that users had decided, and that may not have come to the server, went with a copy that was erased.
    lost: bool,
    /// What went with a copy that was erased, all of whose tabs were told of that, and when.
    erased: BTreeMap<Bytes, Millis>,
    /// What devices were to be called, by account and id.
    names: BTreeMap<(String, String), Wishes>,
    /// What accounts were notified of.
    pub notices: Notices,
}

/// Values that users wanted something to have.
#[derive(Debug, Default)]
struct Wishes {
    values: BTreeSet<Bytes>,
    /// One of them was promised.
    promised: bool,
    /// In which tabs.
    tabs: BTreeSet<At>,
    /// The last one, and the call.
    last: Option<(RequestId, Bytes)>,
    /// It was promised.
    kept: bool,
}

impl Wishes {
    fn add(&mut self, at: At, request: RequestId, value: &Bytes) {
        self.values.insert(value.clone());
        self.tabs.insert(at);
        self.last = Some((request, value.clone()));
        self.kept = false;
    }

    fn promise(&mut self, request: RequestId) {
        self.promised = true;
        self.kept |= self.last.as_ref().is_some_and(|(last, _)| *last == request);
    }

    /// Whether this may be what it has: where one tab alone has wished, as one device, only the last one that was
    /// promised.
    fn fulfilled(&self, value: &Bytes, renamed: &BTreeSet<usize>) -> bool {
        let alone = self.tabs.len() == 1 && self.tabs.iter().all(|at| !renamed.contains(&at.0));
        match &self.last {
            Some((_, last)) if self.kept && alone => value == last,
            _ => self.values.contains(value),
        }
    }
}

/// What users wanted of a message that was sent.
#[derive(Debug, Default)]
struct Wanted {
    /// What it said at first.
    first: Bytes,
    /// What it was to say instead.
    edits: Wishes,
    /// It was to be taken back, and that was promised.
    recall: bool,
    recalled: bool,
}

#[derive(Debug)]
enum Call {
    Edit(OperationId),
    Recall(OperationId),
    Set(String, String, String),
    GiveUp(OperationId),
    Rename(String, String),
}

#[derive(Debug)]
struct Said {
    /// In which profiles; none: elsewhere.
    profiles: BTreeSet<usize>,
    sender: String,
    conversation: String,
}

#[derive(Debug)]
struct Mark {
    account: String,
    conversation: String,
    position: u64,
}

#[derive(Debug)]
struct Members {
    ever: BTreeSet<String>,
    always: BTreeSet<String>,
    now: BTreeSet<String>,
}

/// What there was when a user wished to be in step.
#[derive(Debug)]
struct InStep {
    /// What the tab had promised.
    promised: Vec<Bytes>,
    /// How many messages there were in each conversation.
    messages: BTreeMap<String, u64>,
}

impl Model {
    /// A user sends this, in a profile or elsewhere.
    pub fn asked(&mut self, profile: Option<usize>, sender: &str, conversation: &str, content: &Bytes) {
        let (sender, conversation) = (sender.to_owned(), conversation.to_owned());
        let said = || Said { profiles: BTreeSet::new(), sender, conversation };
        self.said.entry(content.clone()).or_insert_with(said).profiles.extend(profile);
    }

    /// A user gives a message other content.
    pub fn edits(&mut self, at: At, request: RequestId, id: OperationId, now: &Bytes, content: &Bytes) {
        self.wanted(id, now).edits.add(at, request, content);
        self.calls.insert(request, Call::Edit(id));
    }

    /// A user takes a message back.
    pub fn recalls(&mut self, request: RequestId, id: OperationId, now: &Bytes) {
        self.wanted(id, now).recall = true;
        self.calls.insert(request, Call::Recall(id));
    }

    /// A user sets a field.
    pub fn sets(
        &mut self,
        at: At,
        request: RequestId,
        account: &str,
        target: &str,
        name: &str,
        value: &Bytes,
    ) {
        let of = (account.to_owned(), target.to_owned(), name.to_owned());
        self.fields.entry(of.clone()).or_default().add(at, request, value);
        self.calls.insert(request, Call::Set(of.0, of.1, of.2));
    }

    /// A user names a device.
    pub fn renames(&mut self, at: At, request: RequestId, account: &str, device: &str, name: &str) {
        let of = (account.to_owned(), device.to_owned());
        self.names.entry(of.clone()).or_default().add(at, request, &Bytes::copy_from_slice(name.as_bytes()));
        self.calls.insert(request, Call::Rename(of.0, of.1));
    }

    fn wanted(&mut self, id: OperationId, now: &Bytes) -> &mut Wanted {
        let first = || Wanted { first: now.clone(), ..Wanted::default() };
        self.changes.entry(id).or_insert_with(first)
    }

    /// Whether anybody wanted to change a message.
    #[must_use]
    pub fn is_changed(&self, id: OperationId) -> bool {
        self.changes.contains_key(&id)
    }

    /// What a message said at first, that says this now.
    #[must_use]
    pub fn first(&self, id: OperationId, now: &Bytes) -> Bytes {
        self.changes.get(&id).map_or(now, |wanted| &wanted.first).clone()
    }

    /// The device of a profile goes by another id.
    pub fn renamed(&mut self, profile: usize) {
        self.renamed.insert(profile);
    }

    /// A user gives up what is on its way, if it can be stopped.
    pub fn gives_up(&mut self, request: RequestId, id: OperationId, now: &Bytes) {
        self.excused.insert(self.first(id, now));
        self.calls.insert(request, Call::GiveUp(id));
    }

    /// A message was given up in time: from now on it is not sent any more.
    pub fn stopped(&mut self, id: OperationId) {
        self.stopped.insert(id);
    }

    /// What was just sent was sent where one may not.
    pub fn may_be_refused(&mut self, content: &[u8]) {
        self.said.remove(content);
    }

    /// This comes after all else that the user of this tab said in the conversation.
    pub fn in_order(&mut self, at: At, conversation: &str, content: &Bytes) {
        self.order.entry((at, conversation.to_owned())).or_default().push(content.clone());
    }

    /// A tab was opened, the only one of its profile, and this is on its way.
    pub fn opened<'a>(&mut self, at: At, pending: impl Iterator<Item = &'a Bytes>) {
        for content in pending {
            let Some(said) = self.said.get(content) else { continue };
            // What was said again under the same id counts as said when that was first.
            let once = self.order.values().flatten().any(|other| other == content);
            if once {
                self.before.entry((at, said.conversation.clone())).or_default().push(content.clone());
            }
        }
    }

    /// Whether this was said where one may.
    #[must_use]
    pub fn is_allowed(&self, content: &Bytes) -> bool {
        self.said.contains_key(content)
    }

    /// A user wishes to be in step with these views of the server's.
    pub fn syncs(&mut self, at: At, request: RequestId, views: BTreeMap<String, View>) {
        let promised = self.promised.get(&at).cloned().unwrap_or_default();
        let messages = views.into_iter().map(|(id, view)| (id, view.messages.len() as u64)).collect();
        self.syncs.insert(request, InStep { promised, messages });
    }

    /// A call was done. If it was a wish to be in step: the tab, if its copy is at hand, has what there was
    /// at the server, and the server has what the tab had promised.
    pub fn synced(
        &mut self,
        request: RequestId,
        replica: Option<&Replica>,
        views: impl FnOnce() -> BTreeMap<String, View>,
    ) {
        let Some(wish) = self.syncs.remove(&request).filter(|_| !self.replaced) else { return };
        for (conversation, count) in wish.messages {
            let Some(replica) = replica else { break };
            let here = replica.last_position(&conversation).0;
            assert!(here >= count, "in step, but with {here} of {count} messages in {conversation}");
        }
        let messages = views().into_values().flat_map(|view| view.messages);
        let arrived: BTreeSet<Bytes> = messages.map(|message| self.first_of(&message)).collect();
        let missing = wish
            .promised
            .iter()
            .find(|content| !arrived.contains(*content) && !self.excused.contains(*content));
        assert_eq!(missing, None, "in step, but the server does not have all");
    }

    /// A user was told that this is safe.
    pub fn confirmed(&mut self, at: At, content: &Bytes) {
        // What was sent where one may not is kept until the user discards it, and arrives nowhere.
        if self.said.contains_key(content) {
            self.promised.entry(at).or_default().push(content.clone());
        }
    }

    /// A user has read up to a position.
    pub fn marked(&mut self, request: RequestId, account: &str, conversation: &str, position: u64) {
        let of = (account.to_owned(), conversation.to_owned());
        let (_, most) = self.read.entry(of).or_default();
        *most = position.max(*most);
        let (account, conversation) = (account.to_owned(), conversation.to_owned());
        self.marks.insert(request, Mark { account, conversation, position });
    }

    /// A call was done. Tells which message was given up by it.
    pub fn done(&mut self, request: RequestId) -> Option<OperationId> {
        if let Some(Mark { account, conversation, position }) = self.marks.remove(&request) {
            let (least, _) = self.read.entry((account, conversation)).or_default();
            *least = position.max(*least);
        }
        self.notices.done(request);
        match self.calls.remove(&request) {
            Some(Call::Edit(id)) => self.changes.entry(id).or_default().edits.promise(request),
            Some(Call::Recall(id)) => self.changes.entry(id).or_default().recalled = true,
            Some(Call::Set(account, target, name)) => {
                self.fields.entry((account, target, name)).or_default().promise(request);
            }
            Some(Call::GiveUp(id)) => return Some(id),
            Some(Call::Rename(account, device)) => {
                self.names.entry((account, device)).or_default().promise(request);
            }
            None => {}
        }
        None
    }

    /// What a message at the server said at first.
    fn first_of(&self, message: &wire::Message) -> Bytes {
        OperationId::try_from(&message.id).map_or(Bytes::new(), |id| self.first(id, &message.content))
    }

    /// What no record of a store has in it any more: contents that were recalled.
    pub fn recalled(&self, server: &Server) -> Vec<Bytes> {
        let mut gone = self.notices.erased(|message| self.is_recalled(message, server));
        let recalled = self
            .changes
            .iter()
            .filter(|(id, wanted)| wanted.recalled && !self.lacks_wishes() && !server.storage.is_aged(**id));
        let contents = |wanted: &Wanted| wanted.edits.values.iter().chain([&wanted.first]).cloned().collect();
        gone.extend(recalled.flat_map(|(_, wanted)| -> Vec<Bytes> { contents(wanted) }));
        gone
    }

    /// Whether a message is gone.
    fn is_recalled(&self, message: &Bytes, server: &Server) -> Recalled {
        let Some(id) = OperationId::try_from(message).ok() else { return Recalled::default() };
        let Some(wanted) = self.changes.get(&id) else { return Recalled::default() };
        // Of what was given up before it was sent, the server never hears that it is recalled.
        let heard = server.storage.is_stored(message) && !server.storage.is_aged(id);
        let surely = wanted.recalled && !self.lacks_wishes() && heard;
        Recalled { surely, maybe: wanted.recall }
    }

    /// What an account is notified of is what the back end said, marked as its users did.
    fn check_notices(&self, server: &Server) {
        for account in server.storage.accounts() {
            let recalled = |message: &Bytes| self.is_recalled(message, server);
            self.notices.check(&account, &server.notifications(&account), recalled, self.lacks_wishes());
        }
    }

    /// What has become of messages and fields is what one of those wanted who may.
    fn check_changes(&self, server: &Server) {
        let decided = server.decided.as_ref();
        for account in server.storage.accounts() {
            let messages = server.views(&account).into_values().flat_map(|view| view.messages);
            for message in messages {
                let id = OperationId::try_from(&message.id).expect("an id");
                if server.storage.is_aged(id) {
                    continue;
                }
                let Some(wanted) = self.changes.get(&id) else {
                    assert!(
                        !message.recalled && message.edited_at == 0,
                        "divergent: nobody changed {message:?}"
                    );
                    continue;
                };
                let recalled = wanted.recall && message.recalled && message.content.is_empty();
                let said = wanted.first == message.content && !wanted.edits.promised
                    || wanted.edits.fulfilled(&message.content, &self.renamed);
                let holds = recalled || !wanted.recalled && !message.recalled && said;
                let known = wanted.edits.values.contains(&message.content);
                let excused = self.lacks_wishes() && (wanted.first == message.content || known);
                assert!(holds || excused, "divergent: {message:?} after {wanted:?}");
                let edited = decided.filter(|_| !message.recalled).and_then(|decided| decided.content(id));
                let latest = edited.is_none_or(|content| *content == message.content);
                assert!(latest, "divergent: {message:?}, but {edited:?} was decided later");
            }
        }
        for ((account, target, name), wishes) in &self.fields {
            let fields = match target.strip_prefix("session:") {
                Some(key) => server.sessions(account).remove(key),
                None => server.views(account).remove(target).map(|view| view.settings),
            };
            let value = fields.and_then(|mut fields| fields.remove(name)).unwrap_or_default();
            let holds = wishes.fulfilled(&value, &self.renamed)
                || value.is_empty() && !wishes.promised
                || self.lacks_wishes() && (value.is_empty() || wishes.values.contains(&value));
            assert!(holds, "divergent: {target} {name} of {account} is {value:?} after {wishes:?}");
            let latest = decided.is_none_or(|decided| decided.value(account, target, name) == value);
            assert!(
                latest,
                "divergent: {target} {name} of {account} is {value:?}, not what was decided last"
            );
        }
    }

    /// A group has these members from now on.
    pub fn grouped(&mut self, id: &str, members: &[&str]) {
        let members: BTreeSet<String> = members.iter().map(|name| (*name).to_owned()).collect();
        let id = Conversation::Group(id).to_string();
        let none = BTreeSet::new;
        let before = self.groups.entry(id).or_insert_with(|| Members {
            ever: none(),
            always: members.clone(),
            now: none(),
        });
        before.always.retain(|name| members.contains(name));
        before.now.clone_from(&members);
        before.ever.extend(members);
    }

    /// Everything that was promised, and by which tab.
    pub fn promises(&self) -> impl Iterator<Item = (At, &Bytes)> {
        self.promised.iter().flat_map(|(at, contents)| contents.iter().map(|content| (*at, content)))
    }

    /// The browser has erased a profile: what only it had is gone.
    ///
    /// `held` is what tabs have in memory still, to be written anew.
    pub fn erased(&mut self, profile: usize, held: BTreeMap<Bytes, BTreeSet<At>>, server: &Server) {
        let arrived: BTreeSet<Bytes> =
            self.logs(server).into_values().flat_map(BTreeMap::into_keys).collect();
        // What was being written is gone, too, though that it was written may be told later.
        let only_here = self.said.iter().filter(|(_, said)| said.profiles.contains(&profile));
        let gone = only_here.map(|(content, _)| content).filter(|content| !arrived.contains(*content));
        self.held
            .retain(|content, _| self.said.get(content).is_none_or(|said| !said.profiles.contains(&profile)));
        self.excused.extend(gone.filter(|content| !held.contains_key(*content)).cloned());
        self.held.extend(held);
        self.replaced = true;
    }

    /// A profile's copy is erased on purpose, or since the device was removed: what only it had is gone.
    ///
    /// `pending`: there was something that may not have come to the server.
    pub fn erased_for_good(&mut self, profile: usize, pending: bool, server: &Server) {
        let arrived: BTreeSet<Bytes> =
            self.logs(server).into_values().flat_map(BTreeMap::into_keys).collect();
        let only_here = self.said.iter().filter(|(_, said)| said.profiles.contains(&profile));
        let gone = only_here.map(|(content, _)| content).filter(|content| !arrived.contains(*content));
        self.excused.extend(gone.cloned());
        self.lost |= pending;
    }

    /// All tabs of a profile whose copy was just erased were told: none saves anything.
    pub fn gone_for_good(&mut self, profile: usize, now: Millis) {
        let here = self.said.iter().filter(|(_, said)| said.profiles.contains(&profile));
        let gone = here.map(|(content, _)| content).filter(|content| self.excused.contains(*content));
        let gone: Vec<Bytes> = gone.cloned().collect();
        self.erased.extend(gone.into_iter().map(|content| (content, now)));
    }

    /// A profile's copy was replaced by another one, with what its tabs still had.
    pub fn copy_replaced(&mut self) {
        self.replaced = true;
    }

    /// Whether what users have decided and were promised may be gone.
    fn lacks_wishes(&self) -> bool {
        self.replaced || self.lost
    }

    /// Whether a message has come out of a copy that was erased, later than what was on its way then.
    fn is_revenant(&self, message: &wire::Message) -> bool {
        let content = self.first_of(message);
        let once = self.said.get(&content).is_some_and(|said| said.profiles.len() == 1);
        let erased = self.erased.get(&content).filter(|_| once && !self.replaced);
        erased.is_some_and(|at| message.sent_at > at.0 + 1_000)
    }

    /// Devices are called what they call themselves, or what one of their users has named them.
    fn check_names(&self, server: &Server) {
        for account in server.storage.accounts() {
            for device in server.devices(&account).devices {
                let wishes = self.names.get(&(account.clone(), device.id.clone()));
                let own = device.name == DEVICE_NAME && wishes.is_none_or(|wishes| !wishes.promised);
                let name = Bytes::from(device.name.clone());
                let wished = wishes.is_some_and(|wishes| wishes.fulfilled(&name, &self.renamed));
                assert!(own || wished || self.replaced, "divergent: {device:?} after {wishes:?}");
            }
        }
    }

    /// What a tab had in memory is written anew, or could not be.
    pub fn rewritten(&mut self, at: At, content: &Bytes, written: bool) {
        if written {
            self.held.remove(content);
        } else {
            self.let_go(at, |held| held == content);
        }
    }

    /// A tab is gone, with what it had in memory.
    pub fn gone(&mut self, at: At) {
        self.let_go(at, |_| true);
    }

    fn let_go(&mut self, at: At, which: impl Fn(&Bytes) -> bool) {
        for (content, tabs) in self.held.iter_mut().filter(|(content, _)| which(content)) {
            if tabs.remove(&at) && tabs.is_empty() {
                self.excused.insert(content.clone());
            }
        }
        self.held.retain(|_, tabs| !tabs.is_empty());
    }

    /// The server is about to go back to an older state: what came since is gone.
    pub fn restoring(&mut self, server: &Server) {
        self.excused.extend(self.logs(server).into_values().flat_map(BTreeMap::into_keys));
        self.replaced = true;
    }

    /// The server does not keep what is old.
    pub fn trimmed(&mut self) {
        self.trimmed = true;
    }

    /// Whether there may be what the server does not keep any more.
    #[must_use]
    pub fn has_trimmed(&self) -> bool {
        self.trimmed
    }

    /// Whether messages may be told of more than once, or not at all: the log or a copy was replaced.
    #[must_use]
    pub fn tells_again(&self) -> bool {
        self.replaced || self.trimmed
    }

    /// What was promised has arrived at everyone, once, and nothing else has.
    pub fn check(&self, server: &Server) {
        let logs = self.logs(server);
        for (account, contents) in &logs {
            for (content, (times, conversation)) in contents {
                assert!(*times == 1, "doubled: {content:?} arrived at {account} {times} times");
                let Some(said) = self.said.get(content) else { panic!("divergent: nobody said {content:?}") };
                let audience = self.audience(said);
                let known = audience.get(account);
                assert_eq!(known, Some(conversation), "divergent: {content:?} arrived at {account}");
            }
        }
        for (at, content) in self.promises() {
            let said = &self.said[content];
            let own = logs.get(&said.sender).is_some_and(|log| log.contains_key(content));
            assert!(own || self.excused.contains(content), "lost: {content:?}, promised by {at:?}");
            for account in self.sure_audience(said).filter(|_| own) {
                let there = logs.get(&account).is_some_and(|log| log.contains_key(content));
                assert!(there || self.excused.contains(content), "lost: {content:?} for {account}");
            }
        }
        let accounts = server.storage.accounts().into_iter();
        let views: BTreeMap<_, _> =
            accounts.map(|account| (account.clone(), server.views(&account))).collect();
        for (account, conversations) in &views {
            for (conversation, view) in conversations {
                let gone = server.storage.kept(account, conversation).first().map_or(0, |first| first - 1);
                self.check_view(account, conversation, view, gone);
                if let Some(decided) = server.decided.as_ref().filter(|_| !self.replaced && !server.was_split)
                {
                    self.check_readers(account, conversation, &views, decided);
                }
                for message in &view.messages {
                    assert!(!self.is_revenant(message), "sent though it was erased: {message:?}");
                    let stopped = self.stopped.iter().any(|id| id.to_bytes() == message.id);
                    assert!(!stopped || self.replaced, "sent though it was given up: {message:?}");
                }
            }
        }
        if !self.replaced {
            self.check_order(server);
        }
        self.check_changes(server);
        self.check_notices(server);
        self.check_names(server);
    }

    /// What was said in one tab has arrived in that order.
    fn check_order(&self, server: &Server) {
        let place = |account: String| {
            let views = server.views(&account).into_values();
            let messages = views.flat_map(|view| view.messages);
            let places = messages.map(|message| (self.first_of(&message), message.position)).collect();
            (account, places)
        };
        let places: BTreeMap<String, BTreeMap<Bytes, u64>> =
            server.storage.accounts().into_iter().map(place).collect();
        for ((at, conversation), contents) in &self.order {
            let own = contents.first().and_then(|content| places.get(&self.said.get(content)?.sender));
            // What was to be given up and was sent all the same may have been held back for a while.
            let place = |content: &Bytes| own?.get(content).filter(|_| !self.excused.contains(content));
            let before = self.before.get(&(*at, conversation.clone())).into_iter().flatten();
            let before = before.filter_map(place).max();
            let in_order = before.into_iter().chain(contents.iter().filter_map(place)).is_sorted();
            assert!(in_order, "out of order: what {at:?} sent to {conversation}");
        }
    }

    /// `gone`: so many of the oldest messages the server does not keep any more. They are read together.
    fn check_view(&self, account: &str, conversation: &str, view: &View, gone: u64) {
        let mut inbound = 0;
        for (message, position) in view.messages.iter().zip(1..) {
            inbound += u64::from(message.sender != account);
            let place = (message.position, message.inbound);
            assert_eq!(place, (position, inbound), "divergent: {account} counts wrong in {conversation}");
        }
        if let Some(members) = self.groups.get(conversation).filter(|_| !self.replaced) {
            let told: BTreeSet<String> = view.members.iter().cloned().collect();
            let known =
                if members.now.contains(account) { told == members.now } else { !told.contains(account) };
            assert!(known, "divergent: {account} was told of {told:?} in {conversation}");
        }
        let of = (account.to_owned(), conversation.to_owned());
        let (least, most) = self.read.get(&of).copied().unwrap_or_default();
        let last = view.messages.len() as u64;
        // Marks that were lost with other things cannot be told from those that were not.
        let reached = self.lost || least.min(last) <= view.read;
        let right = self.replaced || reached && view.read <= most.max(gone).min(last);
        assert!(
            right,
            "divergent: {account} has read {} in {conversation}, not {least} to {most}",
            view.read
        );
    }

    /// Everyone who may get what was said, and what they call the conversation.
    fn audience(&self, said: &Said) -> BTreeMap<String, String> {
        let Said { sender, conversation, .. } = said;
        match (Conversation::parse(conversation), self.groups.get(conversation)) {
            (Ok(Conversation::Direct(other)), _) => BTreeMap::from([
                (other.to_owned(), Conversation::Direct(sender).to_string()),
                (sender.clone(), conversation.clone()),
            ]),
            (_, Some(members)) => {
                members.ever.iter().map(|name| (name.clone(), conversation.clone())).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// Everyone who must get it.
    fn sure_audience(&self, said: &Said) -> impl Iterator<Item = String> {
        let always = self.groups.get(&said.conversation).map(|members| &members.always);
        let everyone = self.audience(said).into_keys();
        everyone.filter(move |name| always.is_none_or(|always| always.contains(name)))
    }

    /// What has arrived at each account: how often, and in which conversation.
    fn logs(&self, server: &Server) -> BTreeMap<String, BTreeMap<Bytes, (usize, String)>> {
        let log = |account: String| {
            let mut contents: BTreeMap<Bytes, (usize, String)> = BTreeMap::new();
            for (conversation, view) in server.views(&account) {
                for message in view.messages {
                    contents.entry(self.first_of(&message)).or_insert((0, conversation.clone())).0 += 1;
                }
            }
            (account, contents)
        };
        server.storage.accounts().into_iter().map(log).collect()
    }

    /// Others know how far somebody has read, if that is not hidden, and only then. Who is in the team or in a direct
    /// conversation has always been, and so counts the same messages. What is no longer kept is read without a word.
    fn check_readers(
        &self,
        account: &str,
        conversation: &str,
        views: &BTreeMap<String, BTreeMap<String, View>>,
        decided: &Decided,
    ) {
        let view = &views[account][conversation];
        let (readers, theirs): (Vec<&str>, _) = match Conversation::parse(conversation) {
            Ok(Conversation::Direct(other)) => (vec![other], Conversation::Direct(account).to_string()),
            _ if conversation == TEAM => (view.members.iter().map(String::as_str).collect(), TEAM.to_owned()),
            _ => return,
        };
        for reader in readers.into_iter().filter(|reader| *reader != account) {
            let told = view.read_by.get(reader).map_or(0, |position| position.0);
            let read = views.get(reader).and_then(|views| views.get(&theirs)).map_or(0, |view| view.read);
            let (most, all) = decided.shown(reader, &theirs);
            let right = told <= most.min(read) && (!all || self.trimmed || told == read);
            assert!(
                right,
                "divergent: {account} was told that {reader} has read {told} of {read} in {theirs}"
            );
        }
    }
}
