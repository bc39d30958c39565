//! What is worth something only at this moment: who types, and how often that is said. Nothing of it is
//! stored.

use tutti_protocol::{Millis, limits, wire::Availability};

use crate::sorted::SortedMap;

/// Most others of whom is known at a time that they type.
const TYPISTS: usize = 1_000;

/// What the user wants others to see. Tabs hear of it in any order: the greater one holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OwnPresence {
    /// How often that was set; 0: never.
    pub(crate) change: u64,
    availability: i32,
}

impl OwnPresence {
    /// The one that was set after this.
    pub(crate) fn next(self, availability: Availability) -> Self {
        Self { change: self.change.saturating_add(1), availability: availability.into() }
    }

    /// What another tab says of it; none if that is nothing a user can set.
    pub(crate) fn heard(change: u64, availability: i32) -> Option<Self> {
        let known = Availability::try_from(availability).is_ok_and(|it| it != Availability::Offline);
        (known && change > 0).then_some(Self { change, availability })
    }

    pub(crate) fn availability(self) -> Option<Availability> {
        Availability::try_from(self.availability).ok().filter(|_| self.change > 0)
    }
}

/// Others who type, as this tab shows them: in a conversation, an account, until then.
#[derive(Debug, Default)]
pub(crate) struct Typists(SortedMap<(String, String), Millis>);

/// In a conversation, an account.
pub(crate) type Typist = (String, String);

impl Typists {
    /// Somebody types, or does not any more. Says whether that looks different now.
    pub(crate) fn note(&mut self, who: &Typist, typing: bool, now: Millis) -> bool {
        if !typing {
            return self.0.remove(who).is_some();
        }
        let until = now.plus(limits::TYPING_EXPIRES);
        if let Some(known) = self.0.get_mut(who) {
            *known = until;
            return false;
        }
        let room = self.0.len() < TYPISTS;
        if room {
            self.0.insert(who.clone(), until);
        }
        room
    }

    /// Those of whom it was not said for too long that they go on.
    pub(crate) fn expired(&mut self, now: Millis) -> Vec<Typist> {
        let mut expired = Vec::new();
        self.0.retain(|who, until| {
            let on = *until > now;
            if !on {
                expired.push(who.clone());
            }
            on
        });
        expired
    }

    /// All of them: nobody would say when they end.
    pub(crate) fn all(&mut self) -> Vec<Typist> {
        std::mem::take(&mut self.0).into_iter().map(|(who, _)| who).collect()
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.0.values().min().copied()
    }
}

/// Where the user types, in whichever tab, and what was said of it.
#[derive(Debug, Default)]
pub(crate) struct OwnTyping(SortedMap<String, Turn>);

#[derive(Debug)]
struct Turn {
    /// When it was said last that the user types …
    said: Millis,
    /// … which has not been taken back since …
    on: bool,
    /// … and is to be said again.
    again: bool,
}

impl OwnTyping {
    /// The user types there, or does not any more. Says whether that is to be said now.
    pub(crate) fn set(&mut self, conversation: &str, typing: bool, now: Millis) -> bool {
        self.0.retain(|_, turn| turn.again || turn.said.plus(limits::TYPING_EXPIRES) > now);
        match (self.0.get_mut(conversation), typing) {
            (Some(turn), true) if now < turn.said.plus(limits::TYPING_INTERVAL) => {
                turn.again = true;
                false
            }
            (_, true) => {
                self.0.insert(conversation.to_owned(), Turn { said: now, on: true, again: false });
                true
            }
            (Some(turn), false) => {
                turn.again = false;
                std::mem::replace(&mut turn.on, false)
            }
            (None, false) => false,
        }
    }

    /// Where it is to be said again that the user types.
    pub(crate) fn due(&mut self, now: Millis) -> Vec<String> {
        let due = |turn: &Turn| turn.again && turn.said.plus(limits::TYPING_INTERVAL) <= now;
        let mut again = Vec::new();
        for (conversation, turn) in self.0.iter_mut().filter(|(_, turn)| due(turn)) {
            *turn = Turn { said: now, on: true, again: false };
            again.push(conversation.clone());
        }
        again
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        let again = self.0.values().filter(|turn| turn.again);
        again.map(|turn| turn.said.plus(limits::TYPING_INTERVAL)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Millis {
        Millis(10_000 + millis)
    }

    #[test]
    fn typing_is_said_every_two_seconds_as_long_as_it_goes_on() {
        let mut own = OwnTyping::default();
        assert!(own.set("direct:bob", true, at(0)));
        assert_eq!(own.deadline(), None, "nothing was typed since");
        for millis in [1, 500, 1_999] {
            assert!(!own.set("direct:bob", true, at(millis)));
            assert_eq!(own.due(at(millis)), [""; 0]);
        }
        assert!(own.set("group:team", true, at(1_999)), "each conversation for itself");
        assert_eq!(own.deadline(), Some(at(2_000)));
        assert_eq!(own.due(at(2_000)), ["direct:bob"]);
        assert_eq!(own.deadline(), None);
        assert!(own.set("direct:bob", true, at(4_000)));
    }

    #[test]
    fn the_end_of_typing_is_said_once_and_only_of_what_was_said() {
        let mut own = OwnTyping::default();
        assert!(!own.set("direct:bob", false, at(0)));
        assert!(own.set("direct:bob", true, at(0)));
        assert!(!own.set("direct:bob", true, at(1_000)));
        assert!(own.set("direct:bob", false, at(1_000)));
        assert!(!own.set("direct:bob", false, at(1_000)));
        assert_eq!(own.deadline(), None, "what was to be said again is over");
        // Anew, but not sooner than others may be told.
        assert!(!own.set("direct:bob", true, at(1_500)));
        assert_eq!(own.due(at(2_000)), ["direct:bob"]);
        assert!(!own.set("direct:bob", false, at(8_000)), "it has expired");
    }

    #[test]
    fn others_type_until_they_do_not_go_on() {
        let mut typists = Typists::default();
        let (bob, carla) = (("group:team".into(), "bob".into()), ("group:team".into(), "carla".into()));
        assert!(typists.note(&bob, true, at(0)));
        assert!(typists.note(&carla, true, at(0)));
        assert!(!typists.note(&bob, true, at(2_000)));
        assert_eq!(typists.deadline(), Some(at(6_000)));
        assert_eq!(typists.expired(at(5_999)), []);
        assert_eq!(typists.expired(at(6_000)), [carla]);
        assert!(typists.note(&bob, false, at(7_000)));
        assert!(!typists.note(&bob, false, at(7_000)));
        assert!(typists.note(&bob, true, at(7_000)));
        assert_eq!(typists.all(), [bob]);
        assert_eq!(typists.deadline(), None);
    }

    #[test]
    fn the_presence_that_was_set_last_holds() {
        let never = OwnPresence::default();
        assert_eq!(never.availability(), None);
        let away = never.next(Availability::Away);
        let busy = away.next(Availability::Busy);
        assert!(never < away && away < busy);
        assert_eq!(busy.availability(), Some(Availability::Busy));
        assert_eq!(OwnPresence::heard(2, 3), Some(busy));
        for (change, availability) in [(0, 3), (1, 0), (1, 5), (1, -1)] {
            assert_eq!(OwnPresence::heard(change, availability), None);
        }
    }
}
