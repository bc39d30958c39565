//! What may happen: each operation and each fault is one [`Word`], and all that is known of it stands here.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tutti_engine::{Config, Input, Message, PushKey, State};
use tutti_protocol::{
    DeviceId, LogId, Millis, OperationId, TabId, codec, limits,
    local::{self, channel_frame},
    wire::{self, Availability, NotificationState, operation},
};

use crate::{
    store::Store,
    world::{At, World, store_errors},
};

/// The group that all accounts are in.
pub const TEAM: &str = "group:team";

/// How hostile the world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Climate {
    /// Tabs come and go; nothing fails.
    Calm,
    /// The network comes and goes, as on a train.
    Train,
    /// Everything fails.
    Chaos,
    /// Two accounts with three devices each, whose clocks are off by up to an hour, do the same things at the same
    /// time, in reach of the server and out of it.
    Devices,
}

/// Something that may happen.
#[derive(Debug)]
pub struct Word {
    /// Names it in histories.
    pub name: &'static str,
    /// How often it happens beside the others, in each [`Climate`].
    pub weights: [u32; 4],
    /// Lets it happen, and says so for people; none when it cannot happen now.
    pub act: fn(&mut World, &mut Dice) -> Option<String>,
}

/// Where the details of a word come from: the same each time, whatever was before.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(number))
    }

    /// A number below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0.next_u32() as usize % sides.max(1)
    }

    /// Milliseconds, from few to many.
    pub fn millis(&mut self, most: u32) -> u64 {
        let digits = self.roll(most.ilog10() as usize + 1) as u32;
        self.0.next_u64() % u64::from(most).min(10_u64.pow(digits + 1))
    }

    fn coin(&mut self) -> bool {
        self.0.next_u32().is_multiple_of(2)
    }

    /// A tab that can do something.
    fn tab(&mut self, world: &World) -> Option<At> {
        self.one_of(world.alive().into_iter().filter(|at| !world.tab(*at).frozen && !world.tab(*at).ended))
    }

    /// A tab, even a frozen one.
    fn any_tab(&mut self, world: &World) -> Option<At> {
        self.one_of(world.alive().into_iter())
    }

    fn one_of(&mut self, tabs: impl Iterator<Item = At>) -> Option<At> {
        let tabs: Vec<At> = tabs.collect();
        let pick = self.roll(tabs.len());
        tabs.get(pick).copied()
    }

    fn profile(&mut self, world: &World) -> usize {
        self.roll(world.profiles.len())
    }

    fn conversation(&mut self, world: &World, at: At) -> String {
        let accounts: Vec<&str> = world.profiles.iter().map(|place| place.account.as_str()).collect();
        match self.roll(4) {
            // One's own notes, too.
            0 => format!("direct:{}", accounts[self.roll(accounts.len())]),
            1 if accounts.iter().any(|name| **name != world.profiles[at.0].account) => {
                let others: Vec<_> =
                    accounts.into_iter().filter(|name| **name != world.profiles[at.0].account).collect();
                format!("direct:{}", others[self.roll(others.len())])
            }
            _ => TEAM.to_owned(),
        }
    }

    /// A tab that hears the others, and a message of its account's that it shows and that can be changed.
    fn own_message(&mut self, world: &mut World, fits: impl Fn(&Message) -> bool) -> Option<(At, Message)> {
        let at = self.one_of(world.awake().into_iter())?;
        let conversation = self.conversation(world, at);
        let mut messages = world.newest(at, &conversation);
        let account = &world.profiles[at.0].account;
        messages.retain(|message| {
            let changeable = matches!(message.state, State::Sent | State::Pending);
            changeable && message.sender == *account && !world.is_reused(message.id) && fits(message)
        });
        let pick = self.roll(messages.len());
        Some((at, messages.get(pick)?.clone()))
    }

    /// A profile of the account of a tab, and the device in it.
    fn device(&mut self, world: &World, at: At) -> Option<(usize, DeviceId)> {
        let account = &world.profiles[at.0].account;
        let same = |profile: &usize| world.profiles[*profile].account == *account;
        let profiles: Vec<usize> = (0..world.profiles.len()).filter(same).collect();
        let profile = profiles[self.roll(profiles.len())];
        Some((profile, world.device_of(profile)?))
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

/// Most tabs that are open at a time, in all profiles.
const TABS: usize = 12;
/// Most profiles, new ones included.
const PROFILES: usize = 10;
/// In milliseconds.
const HOUR: u32 = 60 * 60 * 1_000;
/// With what histories of [`Climate::Devices`] begin.
pub const THREE_DEVICES: &str = "three devices each";

/// Everything that may happen. What is added here happens from then on.
pub const VOCABULARY: &[Word] = &[
    // What users do.
    word("open", [3, 3, 3, 2], |world, dice| {
        let profile = dice.profile(world);
        (world.alive().len() < TABS).then(|| format!("{:?} opens", world.open(profile)))
    }),
    word("close", [1, 1, 1, 1], |world, dice| {
        let at = dice.tab(world)?;
        world.close(at);
        Some(format!("{at:?} is closed"))
    }),
    word("send", [10, 10, 12, 6], |world, dice| {
        let at = dice.tab(world)?;
        let conversation = dice.conversation(world, at);
        let text = world.text();
        world.send(at, &conversation, &text);
        Some(format!("{at:?} sends {text} to {conversation}"))
    }),
    word("send many", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let count = 2 + dice.roll(30);
        for _ in 0..count {
            let text = world.text();
            world.send(at, TEAM, &text);
        }
        Some(format!("{at:?} sends {count} messages to the team at once"))
    }),
    word("send twice", [1, 1, 1, 1], |world, dice| {
        let at = dice.one_of(world.awake().into_iter())?;
        let same = |other: &At| world.profiles[other.0].account == world.profiles[at.0].account;
        let other = dice.one_of(world.awake().into_iter().filter(same))?;
        let (text, id) = (world.text(), OperationId::mint(world.clock_of(at.0), dice.bytes()));
        world.send_with(at, TEAM, &text, Some(id));
        world.pass(dice.millis(1_000));
        if !world.awake().contains(&other) {
            return None;
        }
        world.send_with(other, TEAM, &text, Some(id));
        Some(format!("{at:?} sends {text}, and {other:?} the same again"))
    }),
    word("send two under one id", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let id = OperationId::mint(world.clock_of(at.0), dice.bytes());
        let (first, second) = (world.text(), world.text());
        // Where the server answers the first before the second is written, it is the server that refuses.
        let reachable = std::mem::replace(&mut world.reachable, false);
        world.cut();
        world.send_with(at, TEAM, &first, Some(id));
        world.send_with(at, TEAM, &second, Some(id));
        world.pass(100 + 4 * world.weather.store_latency);
        world.reachable = reachable;
        Some(format!("{at:?} sends {first} and {second} under one id, out of the server's reach"))
    }),
    word("send a long text", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let (count, length) = (1 + dice.roll(4), dice.roll(32_000));
        for _ in 0..count {
            let text = world.text() + &"x".repeat(length);
            world.send(at, TEAM, &text);
        }
        Some(format!("{at:?} sends {count} texts of {length} bytes"))
    }),
    word("send where one may not", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let (text, request) = (world.text(), world.request());
        world.input(
            at,
            Input::Send {
                request,
                conversation: "group:closed".to_owned(),
                kind: "text".to_owned(),
                content: Bytes::from(format!("\"{text}\"")),
                id: None,
            },
        );
        Some(format!("{at:?} sends {text} to a group that it is not in"))
    }),
    word("send what is no message", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let (conversation, kind, content) = [
            ("nobody", "text", Bytes::from_static(b"1")),
            (TEAM, "", Bytes::from_static(b"1")),
            (TEAM, "text", Bytes::from_static(b"no JSON")),
            (TEAM, "text", Bytes::from(format!("\"{}\"", "x".repeat(limits::CONTENT)))),
        ][dice.roll(4)]
        .clone();
        let request = world.request();
        let (conversation, kind) = (conversation.to_owned(), kind.to_owned());
        world.input(at, Input::Send { request, conversation, kind, content, id: None });
        // Unless that was the last thing that it did.
        let answer = world.profiles[at.0].tabs.get(&at.1)?.replies.get(&request);
        assert!(matches!(answer, Some(Err(_))), "{at:?} takes for a message what is none");
        Some(format!("{at:?} sends what is no message"))
    }),
    word("mark read", [2, 2, 2, 6], |world, dice| {
        let at = dice.tab(world)?;
        let conversation = dice.conversation(world, at);
        let position = dice.coin().then(|| dice.roll(40) as u64 + 1);
        world.mark_read(at, &conversation, position);
        Some(format!("{at:?} has read {conversation} up to {position:?}"))
    }),
    word("edit", [2, 2, 3, 6], |world, dice| {
        let (at, message) = dice.own_message(world, |_| true)?;
        let text = world.text();
        world.edit(at, message.clone(), &text);
        Some(format!("{at:?} makes {} {text}", short(&message)))
    }),
    word("recall", [1, 1, 2, 2], |world, dice| {
        let (at, message) = dice.own_message(world, |_| true)?;
        world.recall(at, message.clone());
        Some(format!("{at:?} recalls {}", short(&message)))
    }),
    word("edit elsewhere", [1, 1, 1, 4], |world, dice| {
        // The same message, on two devices of an account at once.
        let (at, message) = dice.own_message(world, |message| message.position.is_some())?;
        let same = |other: &At| world.profiles[other.0].account == world.profiles[at.0].account;
        let other = dice.one_of(world.awake().into_iter().filter(same))?;
        let mut there = world.newest(other, &message.conversation).into_iter();
        let there = there.find(|it| it.id == message.id && it.state == State::Sent)?;
        let (first, second) = (world.text(), world.text());
        world.edit(at, message, &first);
        if !world.awake().contains(&other) {
            return None;
        }
        if dice.roll(4) == 0 {
            world.recall(other, there);
            return Some(format!("{at:?} edits to {first} what {other:?} recalls"));
        }
        world.edit(other, there, &second);
        Some(format!("{at:?} edits to {first} what {other:?} edits to {second}"))
    }),
    word("edit at once", [1, 1, 1, 2], |world, dice| {
        // What another tab has just sent, before anybody else knows of it.
        let at = dice.one_of(world.awake().into_iter())?;
        let text = world.text();
        world.send(at, TEAM, &text);
        world.pass(dice.millis(100));
        let other = dice.one_of(world.awake().into_iter().filter(|other| other.0 == at.0))?;
        let said = format!("\"{text}\"");
        let message = world.newest(other, TEAM).into_iter().rev().find(|it| it.content == said)?;
        let edited = world.text();
        world.edit(other, message, &edited);
        Some(format!("{at:?} sends {text}, and {other:?} makes it {edited}"))
    }),
    word("decide out of reach", [2, 2, 3, 6], |world, dice| {
        // One device decides something without a network; another one decides otherwise later, and is faster.
        let at = dice.one_of(world.awake().into_iter())?;
        let account = world.profiles[at.0].account.clone();
        let elsewhere = |other: &At| other.0 != at.0 && world.profiles[other.0].account == account;
        let other = dice.one_of(world.awake().into_iter().filter(elsewhere))?;
        let there = world.newest(other, TEAM);
        let mut messages = world.newest(at, TEAM).into_iter().rev();
        let both = messages.find_map(|here| {
            let there = there.iter().find(|it| it.id == here.id && it.state == State::Sent)?;
            let own = here.sender == account && here.state == State::Sent && !world.is_reused(here.id);
            own.then(|| (here, there.clone()))
        });
        let (first, second) = (world.text(), world.text());
        let value = |text: &str| Bytes::from(format!("\"{text}\""));
        let (here, there) = both.filter(|_| dice.coin()).unzip();
        world.input(at, Input::SetOffline(true));
        match here {
            Some(message) => drop(world.edit(at, message, &first)),
            None => world.set(at, TEAM, "draft", value(&first)),
        }
        world.pass(1 + dice.millis(1_000));
        let what = if there.is_some() { "a message" } else { "the draft" };
        match there {
            Some(message) => drop(world.edit(other, message, &second)),
            None => world.set(other, TEAM, "draft", value(&second)),
        }
        world.pass(dice.millis(10_000));
        world.input(at, Input::SetOffline(false));
        Some(format!("{at:?} makes {what} {first} and works offline, then {other:?} makes it {second}"))
    }),
    word("set", [2, 2, 3, 12], |world, dice| {
        let at = dice.tab(world)?;
        let (target, name, value) = match dice.roll(4) {
            0 => (dice.conversation(world, at), "draft", format!("\"{}\"", world.text())),
            1 => (dice.conversation(world, at), "muted", dice.coin().to_string()),
            2 => (dice.conversation(world, at), "pinned", dice.coin().to_string()),
            _ => {
                let key = ["session:track", "session:article"][dice.roll(2)];
                (key.to_owned(), ["position", "volume", "time"][dice.roll(3)], dice.roll(100).to_string())
            }
        };
        let value = if dice.roll(5) == 0 { String::new() } else { value };
        world.set(at, &target, name, Bytes::from(value.clone()));
        Some(format!("{at:?} sets {name} of {target} to {value}"))
    }),
    word("look back", [2, 2, 2, 1], |world, dice| {
        let at = dice.tab(world)?;
        let conversation = dice.conversation(world, at);
        let limit = 1 + dice.roll(60);
        world.fetch(at, &conversation, limit)?;
        Some(format!("{at:?} looks at the last {limit} messages of {conversation}, of which it lacks some"))
    }),
    word("new device", [1, 1, 1, 0], |world, dice| {
        if world.profiles.len() >= PROFILES || world.alive().len() >= TABS {
            return None;
        }
        let account = world.profiles[dice.profile(world)].account.clone();
        let profile = world.profile(&account);
        world.profiles[profile].days = 1 + dice.roll(limits::COMPENSATION_DAYS as usize) as u32;
        Some(format!("{:?} opens on a new device of {account}", world.open(profile)))
    }),
    word(THREE_DEVICES, [0, 0, 0, 0], |world, dice| {
        for account in ["anna", "ben"] {
            let has = |world: &World| world.profiles.iter().filter(|place| place.account == account).count();
            while has(world) < 3 && world.profiles.len() < PROFILES {
                world.profile(account);
            }
        }
        for profile in 0..world.profiles.len() {
            if !world.awake().iter().any(|at| at.0 == profile) && world.alive().len() < TABS {
                world.open(profile);
            }
            let skew = dice.millis(HOUR) as i64;
            world.profiles[profile].skew = if dice.coin() { skew } else { -skew };
        }
        world.pass(1_000);
        Some("anna and ben have three devices each, whose clocks are off by up to an hour".to_owned())
    }),
    word("mark a notification", [2, 2, 3, 4], |world, dice| {
        let at = dice.tab(world)?;
        let dismissed = dice.coin();
        let notifications = world.tab(at).engine.replica().notifications(dismissed, usize::MAX);
        let id = OperationId::try_from(&notifications.get(dice.roll(notifications.len()))?.id).ok()?;
        let states = [NotificationState::Read, NotificationState::Dismissed];
        let state = dice.roll(2);
        world.mark_notification(at, id, states[state]);
        // Somebody else at the same time, and otherwise.
        let same =
            |other: &At| *other != at && world.profiles[other.0].account == world.profiles[at.0].account;
        let other = dice.one_of(world.awake().into_iter().filter(same)).filter(|_| dice.coin());
        other.into_iter().for_each(|other| world.mark_notification(other, id, states[1 - state]));
        Some(format!("{at:?} has {id} {:?}, and {other:?} otherwise", states[state]))
    }),
    word("notifications", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let config = world.tab(at).engine.config();
        let notifications = !config.notifications;
        world.input(at, Input::Configure(Config { notifications, ..config }));
        Some(format!("{at:?} sets notifications {notifications}"))
    }),
    word("give up", [1, 1, 1, 0], |world, dice| {
        let at = dice.one_of(world.awake().into_iter())?;
        let on_the_way = |message: &Message| matches!(message.state, State::Pending | State::Failed(_));
        let mut messages = world.newest(at, TEAM);
        messages.retain(|message| on_the_way(message) && !world.is_reused(message.id));
        let pick = dice.roll(messages.len());
        let message = messages.get(pick)?;
        world.withdraw(at, message, false);
        Some(format!("{at:?} gives up {}", short(message)))
    }),
    word("try again", [1, 1, 1, 0], |world, dice| {
        let at = dice.one_of(world.awake().into_iter())?;
        let mut messages = world.newest(at, "group:closed");
        messages.extend(world.newest(at, TEAM).into_iter().rev().take(1));
        messages.retain(|message| !world.is_reused(message.id));
        let pick = dice.roll(messages.len());
        let message = messages.get(pick)?;
        world.withdraw(at, message, true);
        Some(format!("{at:?} tries {} again", short(message)))
    }),
    word("type", [3, 3, 4, 1], |world, dice| {
        let at = dice.tab(world)?;
        let (conversation, typing) = (dice.conversation(world, at), dice.roll(4) > 0);
        world.set_typing(at, &conversation, typing);
        Some(format!("{at:?} {} in {conversation}", if typing { "types" } else { "does not type any more" }))
    }),
    word("say a status", [2, 2, 3, 0], |world, dice| {
        let at = dice.tab(world)?;
        let conversation = dice.conversation(world, at);
        let content = world.say(at, &conversation);
        Some(format!("{at:?} says {content:?} to who is there in {conversation}"))
    }),
    word("set presence", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let presence =
            [Availability::Online, Availability::Away, Availability::Busy, Availability::Invisible]
                [dice.roll(4)];
        world.input(at, Input::SetPresence(presence));
        Some(format!("{at:?} is {presence:?}"))
    }),
    word("ask for a presence", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let account = ["anna", "ben", "carla", "nobody"][dice.roll(4)];
        world.ask(at, account);
        Some(format!("{at:?} asks whether {account} is there"))
    }),
    word("sync", [1, 1, 1, 1], |world, dice| {
        let at = dice.tab(world)?;
        world.sync_now(at);
        Some(format!("{at:?} wants to be in step"))
    }),
    word("look", [1, 1, 1, 1], |world, dice| {
        let (at, visible) = (dice.tab(world)?, dice.coin());
        world.input(at, Input::VisibilityChanged(visible));
        Some(format!("{at:?} {}", if visible { "comes into view" } else { "is hidden" }))
    }),
    word("work offline", [1, 1, 1, 6], |world, dice| {
        let (at, offline) = (dice.tab(world)?, dice.coin());
        world.input(at, Input::SetOffline(offline));
        Some(format!("{at:?} works {}", if offline { "offline" } else { "online" }))
    }),
    word("configure", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let mut config = world.tab(at).engine.config();
        let what = if dice.roll(3) == 0 {
            config.messages = !config.messages;
            format!("messages {}", config.messages)
        } else if dice.coin() {
            config.history = !config.history;
            format!("past messages {}", config.history)
        } else {
            config.hide.reads = !config.hide.reads;
            format!("hides what it reads: {}", config.hide.reads)
        };
        let key = [b"B", [b'A'; PushKey::LENGTH - 1].as_slice()].concat();
        config.push_key = PushKey::try_from(&key[..]).ok().filter(|_| config.push_key.is_none());
        world.input(at, Input::Configure(config));
        Some(format!("{at:?} sets {what}"))
    }),
    word("anonymous", [1, 1, 1, 2], |world, dice| {
        let at = dice.tab(world)?;
        let anonymous = !world.tab(at).engine.config().anonymous;
        world.set_anonymous(at, anonymous);
        Some(format!("{at:?} wants {} lasting id", if anonymous { "no" } else { "a" }))
    }),
    // Another server, to which the same happens, has its own devices and tokens.
    word("list devices", [1, 1, 1, 1], |world, dice| {
        let at = dice.tab(world).filter(|_| !world.server.is_mirrored())?;
        world.list_devices(at);
        Some(format!("{at:?} wants to see its devices"))
    }),
    word("rename a device", [1, 1, 1, 2], |world, dice| {
        let at = dice.tab(world).filter(|_| !world.server.is_mirrored())?;
        let (other, device) = dice.device(world, at)?;
        let name = world.text();
        world.rename_device(at, device, &name);
        Some(format!("{at:?} calls the device of profile {other} {name}"))
    }),
    word("remove a device", [1, 1, 1, 1], |world, dice| {
        // As rare as it is, or nothing would be left of the others.
        let at = dice.tab(world).filter(|_| !world.server.is_mirrored())?;
        let (other, device) = dice.device(world, at).filter(|_| dice.roll(3) == 0)?;
        world.remove_device(at, device);
        Some(format!("{at:?} removes the device of profile {other}"))
    }),
    word("remove a device from without", [1, 1, 1, 1], |world, dice| {
        let profile = dice.profile(world);
        let removed = dice.roll(4) == 0 && !world.server.is_mirrored() && world.remove_from_without(profile);
        removed.then(|| format!("the device of profile {profile} is removed by the back end"))
    }),
    word("erase for good", [1, 1, 1, 1], |world, dice| {
        let at = dice.one_of(world.awake().into_iter()).filter(|_| !world.server.is_mirrored())?;
        let revoke = dice.coin();
        if dice.roll(3) > 0 {
            return None;
        }
        world.erase_for_good(at, revoke);
        Some(format!("{at:?} wants nothing to be left, nor of its device at the server: {revoke}"))
    }),
    word("take over", [0, 0, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let robbed = dice.any_tab(world)?;
        let device = world.known_as(robbed);
        world.take_over(at, device);
        Some(format!("{at:?} takes the place of {robbed:?}"))
    }),
    word("wait", [3, 3, 3, 4], |world, dice| {
        let millis = dice.millis(100_000);
        world.pass(millis);
        Some(format!("{millis} ms pass"))
    }),
    // What the application's back end does.
    word("message from elsewhere", [1, 1, 1, 1], |world, dice| {
        let sender = world.profiles[dice.profile(world)].account.clone();
        let id = OperationId::mint(world.clock(), dice.bytes());
        let text = world.text();
        world.post(&sender, TEAM, id, &text);
        Some(format!("{sender} sends {text} from elsewhere"))
    }),
    word("notify", [2, 2, 3, 3], |world, dice| {
        let at = dice.tab(world)?;
        let everybody: BTreeSet<String> = world.profiles.iter().map(|place| place.account.clone()).collect();
        let own = BTreeSet::from([world.profiles[at.0].account.clone()]);
        let accounts = if dice.coin() { everybody } else { own };
        let mut messages = world.newest(at, TEAM);
        messages.retain(|message| dice.coin() && !world.is_reused(message.id));
        // A back end may ask again.
        let (message, times) = (messages.pop().map(|message| message.id), 1 + dice.roll(2));
        let title = world.notify(&accounts, message, times);
        Some(format!("{accounts:?} are notified {times} times of {title}, about {message:?}"))
    }),
    word("meddle", [1, 0, 1, 0], |world, dice| {
        // Past every client, who would not ask for that.
        let at = dice.tab(world)?;
        let account = world.profiles[dice.profile(world)].account.clone();
        let conversation = dice.conversation(world, at);
        let mut messages = world.newest(at, &conversation);
        messages.retain(|message| message.sender != account && message.position.is_some());
        let pick = dice.roll(messages.len());
        let message = messages.get(pick)?;
        let (id, content) = (message.id.to_bytes(), Bytes::from(format!("\"{}\"", world.text())));
        let body = match dice.coin() {
            true => operation::Body::Edit(wire::Edit { message: id, content }),
            false => operation::Body::Recall(wire::Recall { message: id }),
        };
        world.meddle(&account, body);
        Some(format!("{account} wants to change {}, which another has sent", short(message)))
    }),
    word("flood", [1, 1, 1, 0], |world, dice| {
        // As seldom as it happens, since much takes long. Each time so much that it is folded.
        if dice.roll(128) > 0 {
            return None;
        }
        let sender = world.profiles[dice.profile(world)].account.clone();
        let times = 1 + dice.roll(3);
        for _ in 0..times {
            world.post_many(&sender, TEAM, 2_050);
            world.pass(dice.millis(100_000));
        }
        Some(format!("{sender} sends 2,050 messages from elsewhere, {times} times"))
    }),
    word("group changes", [1, 0, 1, 0], |world, dice| {
        let accounts: Vec<String> = world.profiles.iter().map(|place| place.account.clone()).collect();
        let members: Vec<&str> = accounts.iter().filter(|_| dice.coin()).map(String::as_str).collect();
        world.set_group("project", &members);
        Some(format!("the project's members are {members:?}"))
    }),
    // The network.
    word("cut", [0, 3, 1, 2], |world, _| {
        world.cut();
        Some("all connections break".to_owned())
    }),
    word("tunnel", [0, 3, 1, 3], |world, _| {
        world.reachable = !world.reachable;
        Some(format!("the server is {}", if world.reachable { "reachable" } else { "out of reach" }))
    }),
    word("network", [0, 2, 1, 0], |world, dice| {
        let (at, network) = (dice.tab(world)?, dice.coin());
        world.input(at, Input::NetworkChanged(network));
        Some(format!("{at:?} hears that it is {}", if network { "online" } else { "offline" }))
    }),
    word("half-open", [0, 2, 1, 1], |world, dice| {
        let at = dice.any_tab(world)?;
        let (mute, deaf) = [(true, false), (false, true), (true, true)][dice.roll(3)];
        let half = world.half_open(at, mute, deaf);
        half.then(|| format!("{at:?}'s connection swallows all: mute {mute}, deaf {deaf}"))
    }),
    word("latency", [0, 2, 1, 1], |world, dice| {
        world.weather.latency = dice.millis(20_000);
        Some(format!("frames take up to {} ms", world.weather.latency))
    }),
    word("frames in disorder", [0, 0, 1, 0], |world, dice| {
        world.weather.server_disorder = [0, 0, 5, 20][dice.roll(4)];
        let percent = world.weather.server_disorder;
        Some(format!("{percent} % of the server's frames are lost, as many come twice, as many overtake"))
    }),
    // Tabs and browsers.
    word("crash", [0, 0, 1, 1], |world, dice| {
        let at = dice.any_tab(world)?;
        world.crash(at);
        Some(format!("{at:?} crashes"))
    }),
    word("kill", [0, 0, 1, 1], |world, dice| {
        let profile = dice.profile(world);
        world.kill(profile);
        Some(format!("the browser of profile {profile} is killed"))
    }),
    word("kill soon", [0, 0, 1, 0], |world, dice| {
        let (profile, effects) = (dice.profile(world), dice.roll(30) as u64);
        world.kill_after(profile, effects);
        Some(format!("the browser of profile {profile} is killed after {effects} effects"))
    }),
    word("freeze", [0, 1, 2, 1], |world, dice| {
        let at = dice.tab(world)?;
        world.freeze(at);
        Some(format!("{at:?} freezes"))
    }),
    word("thaw", [0, 1, 2, 1], |world, dice| {
        let at = dice.any_tab(world)?;
        let frozen = world.tab(at).frozen;
        world.thaw(at);
        frozen.then(|| format!("{at:?} thaws"))
    }),
    word("go back", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        world.suspend(at);
        Some(format!("{at:?} goes into the cache"))
    }),
    word("leave", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        world.input(at, Input::Leaving);
        Some(format!("{at:?} may be about to be left"))
    }),
    word("come back", [1, 1, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let suspended = world.tab(at).suspended;
        world.resume(at);
        suspended.then(|| format!("{at:?} comes back from the cache"))
    }),
    word("steal", [0, 0, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        world.steal(at);
        Some(format!("{at:?} steals the lock if it waits for it"))
    }),
    word("steal while reading", [0, 0, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        world.weather.store_latency = dice.millis(5_000);
        world.suspend(at);
        world.resume(at);
        let id = OperationId::mint(world.clock(), dice.bytes());
        let (sender, text) = (world.profiles[at.0].account.clone(), world.text());
        world.post(&sender, TEAM, id, &text);
        world.pass(dice.millis(1_000));
        world.steal(at);
        Some(format!("{at:?} reads its store anew, {text} comes from elsewhere, and it steals the lock"))
    }),
    word("channel", [0, 0, 1, 0], |world, dice| {
        world.weather.channel_loss = [0, 10, 40][dice.roll(3)];
        world.weather.channel_disorder = dice.coin();
        let (loss, disorder) = (world.weather.channel_loss, world.weather.channel_disorder);
        Some(format!("{loss} % of the frames between tabs are lost; disorder: {disorder}"))
    }),
    word("garbage on the channel", [0, 0, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let (bytes, what) = match dice.roll(2) {
            0 => (Bytes::copy_from_slice(&dice.bytes::<24>()), "garbage"),
            _ => {
                // A later version's, which no reader of today may act upon.
                let frame = Some(channel_frame::Frame::Leave(local::Leave::default()));
                let store = world.tab(at).engine.replica().store().to_bytes();
                let tab = TabId::mint(world.clock(), dice.bytes()).to_bytes();
                let frame = local::ChannelFrame { tab, store, needs: 99, frame };
                (codec::encode(&frame), "a frame of a later version")
            }
        };
        world.input(at, Input::ChannelFrame(bytes));
        Some(format!("{at:?} hears {what} from another tab"))
    }),
    // The store.
    word("storage fails", [0, 0, 2, 0], |world, dice| {
        let at = dice.tab(world)?;
        let error = store_errors()[dice.roll(3)].clone();
        let after = dice.roll(6) as u64;
        let Store { operations, fail, .. } = &mut world.profiles[at.0].store;
        *fail = Some((*operations + after, error.clone()));
        Some(format!("profile {}: {error:?} after {after} operations of the store", at.0))
    }),
    word("reading fails", [0, 0, 1, 0], |world, dice| {
        let at = dice.tab(world)?;
        let error = store_errors()[dice.roll(3)].clone();
        world.input(at, Input::ReadFailed(error.clone()));
        Some(format!("{at:?} cannot read a record: {error:?}"))
    }),
    word("slow store", [0, 0, 1, 0], |world, dice| {
        world.weather.store_latency = dice.millis(5_000);
        Some(format!("stores take up to {} ms", world.weather.store_latency))
    }),
    word("erase", [0, 0, 1, 0], |world, dice| {
        // As rare as it is, or nothing would be left to lose.
        if dice.roll(6) > 0 {
            return None;
        }
        let profile = dice.profile(world);
        world.erase(profile);
        Some(format!("the data of profile {profile} is cleared"))
    }),
    // Clocks.
    word("clock jumps", [0, 0, 2, 0], |world, dice| {
        let profile = dice.profile(world);
        let jump = dice.millis(1_000_000_000) as i64;
        let skew = &mut world.profiles[profile].skew;
        *skew = skew.saturating_add(if dice.coin() { jump } else { -jump });
        Some(format!("the clock of profile {profile} is {skew} ms off"))
    }),
    // The server.
    word("goodbye", [1, 1, 1, 1], |world, dice| {
        let wait = dice.roll(2_000) as u32;
        world.server.bye(wait);
        Some(format!("the server ends all connections in good order: come back after {wait} ms"))
    }),
    word("server dies", [0, 1, 1, 1], |world, _| {
        world.server.restart();
        Some("the server is killed and started again".to_owned())
    }),
    word("rate limit", [0, 0, 1, 0], |world, dice| {
        let budget = (dice.roll(3) > 0).then(|| dice.roll(4));
        world.server.refill(budget);
        Some(format!("the server takes this many more operations: {budget:?}"))
    }),
    word("full disk", [0, 0, 1, 0], |world, dice| {
        let commits = dice.roll(5) as u32;
        world.server.storage.refuse_commits(commits);
        Some(format!("the server cannot store the next {commits} times"))
    }),
    word("places", [0, 0, 1, 0], |world, dice| {
        let places = 1 + dice.roll(3);
        world.server.set_places(places);
        Some(format!("accounts may have {places} connections"))
    }),
    word("switch", [1, 0, 1, 0], |world, dice| {
        // Rare, since less can be said of what must be where.
        if dice.roll(16) > 0 {
            return None;
        }
        let mut disabled = true;
        for _ in 0..1 + dice.roll(3) {
            if !world.server.set_sync_disabled(disabled) {
                return None;
            }
            world.pass(dice.millis(10_000));
            let (sender, text) = (world.profiles[dice.profile(world)].account.clone(), world.text());
            let id = OperationId::mint(world.clock(), dice.bytes());
            world.post(&sender, TEAM, id, &text);
            disabled = !disabled;
        }
        Some(format!(
            "devices are kept in step, or are not: now they are{}",
            if disabled { "" } else { " not" }
        ))
    }),
    word("trim", [1, 1, 1, 0], |world, dice| {
        let age = dice.millis(100_000);
        let before = Millis(world.clock().0 - age);
        world.trim(before).then(|| format!("the server keeps no more what is older than {age} ms"))
    }),
    word("days", [1, 1, 1, 0], |world, dice| {
        world.server.compensation_days = 1 + dice.roll(limits::COMPENSATION_DAYS as usize) as u32;
        Some(format!("new devices get {} days", world.server.compensation_days))
    }),
    word("tokens expire", [0, 1, 1, 0], |world, dice| {
        let (profile, tokens) = (dice.profile(world), 1 + dice.roll(3) as u32);
        world.profiles[profile].expired_tokens = tokens;
        Some(format!("profile {profile} is given {tokens} expired tokens"))
    }),
    word("tokens last", [0, 1, 1, 0], |world, dice| {
        world.tokens_last = dice.coin().then(|| 1_000 + dice.millis(100_000));
        Some(format!("tokens are good for {:?} ms", world.tokens_last))
    }),
    word("no tokens", [0, 1, 1, 0], |world, dice| {
        let (profile, times) = (dice.profile(world), 1 + dice.roll(3) as u32);
        world.profiles[profile].missing_tokens = times;
        Some(format!("profile {profile} is given no token {times} times"))
    }),
    word("back up", [0, 0, 1, 0], |world, _| {
        world.backup = Some(world.server.storage.backup());
        Some("the server is backed up".to_owned())
    }),
    word("restore", [0, 0, 1, 0], |world, dice| {
        let backup = world.backup.clone()?;
        if dice.roll(4) > 0 {
            return None;
        }
        world.restore(&backup, LogId::from(dice.bytes()));
        Some("the server is restored from its backup".to_owned())
    }),
    word("restore, and send again", [0, 0, 1, 0], |world, dice| {
        let at = dice.one_of(world.awake().into_iter())?;
        // Rare: what was lost with a log is not looked for.
        if dice.roll(12) > 0 {
            return None;
        }
        let (text, id) = (world.text(), OperationId::mint(world.clock_of(at.0), dice.bytes()));
        let backup = world.server.storage.backup();
        world.send_with(at, TEAM, &text, Some(id));
        world.pass(dice.millis(10_000));
        world.restore(&backup, LogId::from(dice.bytes()));
        world.pass(dice.millis(10_000));
        if !world.awake().contains(&at) {
            return None;
        }
        world.send_with(at, TEAM, &text, Some(id));
        Some(format!("{at:?} sends {text}, the server forgets it, and {at:?} sends it again"))
    }),
];

/// The beginning of what a message says.
fn short(message: &Message) -> String {
    String::from_utf8_lossy(&message.content).chars().take(24).collect()
}

const fn word(
    name: &'static str,
    weights: [u32; 4],
    act: fn(&mut World, &mut Dice) -> Option<String>,
) -> Word {
    Word { name, weights, act }
}

/// Everything that was wrong is right again. In each profile a tab is awake, and somebody looks at it.
pub fn heal(world: &mut World) {
    for place in &mut world.profiles {
        place.store.fail = None;
        place.expired_tokens = 0;
        place.missing_tokens = 0;
    }
    world.tokens_last = None;
    world.clear_up();
    world.reachable = true;
    world.server.refill(None);
    world.server.storage.refuse_commits(0);
    world.server.set_sync_disabled(false);
    world.server.set_places(10);
    // Who is killed soon is killed now.
    world.was_killed();
    // Who stands still does so on: somebody else is there to notice.
    for profile in 0..world.profiles.len() {
        if !world.awake().iter().any(|at| at.0 == profile) {
            world.open(profile);
        }
    }
    for at in world.awake() {
        world.input(at, Input::VisibilityChanged(true));
    }
}

/// Everybody goes on, and comes into view.
pub fn wake(world: &mut World) {
    for profile in 0..world.profiles.len() {
        world.open(profile);
    }
    for at in world.alive() {
        world.thaw(at);
        world.resume(at);
        world.input(at, Input::VisibilityChanged(true));
    }
}
