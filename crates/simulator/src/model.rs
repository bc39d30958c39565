//! What must have come of a history in the end, told by a model that is too simple to be wrong: it knows
//! what users asked for and what they were promised, and nothing of how that is kept.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tutti_engine::{Replica, RequestId};
use tutti_protocol::Conversation;

use crate::{
    server::{Server, View},
    world::At,
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
        let arrived: BTreeSet<Bytes> =
            views().into_values().flat_map(|view| view.messages).map(|message| message.content).collect();
        let missing = wish.promised.iter().find(|content| !arrived.contains(*content));
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

    /// A call was done.
    pub fn done(&mut self, request: RequestId) {
        if let Some(Mark { account, conversation, position }) = self.marks.remove(&request) {
            let (least, _) = self.read.entry((account, conversation)).or_default();
            *least = position.max(*least);
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
        let arrived: BTreeSet<Bytes> = logs(server).into_values().flat_map(BTreeMap::into_keys).collect();
        // What was being written is gone, too, though that it was written may be told later.
        let only_here = self.said.iter().filter(|(_, said)| said.profiles.contains(&profile));
        let gone = only_here.map(|(content, _)| content).filter(|content| !arrived.contains(*content));
        self.held
            .retain(|content, _| self.said.get(content).is_none_or(|said| !said.profiles.contains(&profile)));
        self.excused.extend(gone.filter(|content| !held.contains_key(*content)).cloned());
        self.held.extend(held);
        self.replaced = true;
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
        self.excused.extend(logs(server).into_values().flat_map(BTreeMap::into_keys));
        self.replaced = true;
    }

    /// Whether messages may be told of more than once, or not at all: the log or a copy was replaced.
    #[must_use]
    pub fn tells_again(&self) -> bool {
        self.replaced
    }

    /// What was promised has arrived at everyone, once, and nothing else has.
    pub fn check(&self, server: &Server) {
        let logs = logs(server);
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
        for account in server.storage.accounts() {
            for (conversation, view) in server.views(&account) {
                self.check_view(&account, &conversation, &view);
            }
        }
        if !self.replaced {
            self.check_order(server);
        }
    }

    /// What was said in one tab has arrived in that order.
    fn check_order(&self, server: &Server) {
        let place = |account: String| {
            let views = server.views(&account).into_values();
            let messages = views.flat_map(|view| view.messages);
            let places = messages.map(|message| (message.content, message.position)).collect();
            (account, places)
        };
        let places: BTreeMap<String, BTreeMap<Bytes, u64>> =
            server.storage.accounts().into_iter().map(place).collect();
        for ((at, conversation), contents) in &self.order {
            let own = contents.first().and_then(|content| places.get(&self.said.get(content)?.sender));
            let before = self.before.get(&(*at, conversation.clone())).into_iter().flatten();
            let before = before.filter_map(|content| own?.get(content)).max();
            let arrived = contents.iter().filter_map(|content| own?.get(content));
            let in_order = before.into_iter().chain(arrived).is_sorted();
            assert!(in_order, "out of order: what {at:?} sent to {conversation}");
        }
    }

    fn check_view(&self, account: &str, conversation: &str, view: &View) {
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
        let right = self.replaced || least.min(last) <= view.read && view.read <= most.min(last);
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
}

/// What has arrived at each account: how often, and in which conversation.
fn logs(server: &Server) -> BTreeMap<String, BTreeMap<Bytes, (usize, String)>> {
    let log = |account: String| {
        let mut contents: BTreeMap<Bytes, (usize, String)> = BTreeMap::new();
        for (conversation, view) in server.views(&account) {
            for message in view.messages {
                contents.entry(message.content).or_insert((0, conversation.clone())).0 += 1;
            }
        }
        (account, contents)
    };
    server.storage.accounts().into_iter().map(log).collect()
}
