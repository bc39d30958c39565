use tutti_acceptance::platform::Platform::{Mobile, Web};
use tutti_protocol::wire::Availability;

use super::*;

const HERE: ServerId = ServerId(1);
const THERE: ServerId = ServerId(2);
const LAST: Bid<'_> = Bid { take_over: None, yields: false };

fn connection(device: &str, platform: Platform, epoch: u64) -> Connection {
    let (device, name) = (device.to_owned(), "a name".to_owned());
    Connection { device, addressee: DeviceId::from([1; 16]), name, platform, epoch, since: 7 }
}

fn devices(roster: &Roster) -> Vec<String> {
    roster.connections().into_iter().map(|connection| connection.device).collect()
}

/// A roster with places of these devices, from the web, each on its server, in this order.
fn with(places: &[(&str, ServerId)]) -> Roster {
    let mut roster = Roster::default();
    for (number, (device, server)) in (1..).zip(places) {
        let ticket = Ticket::new(*server, number);
        roster.claim(ticket, &connection(device, Web, 0), 10, LAST, &[]).unwrap();
        roster.enter(ticket, device);
        roster.presence_mut().enter(ticket.0, Web, false);
        roster.presence_mut().appear(ticket.0);
    }
    roster
}

#[test]
fn a_ticket_names_its_server() {
    let ticket = Ticket::new(ServerId(u32::MAX), 7);
    assert_eq!(ticket.server(), ServerId(u32::MAX));
    assert_ne!(ticket, Ticket::new(ServerId(u32::MAX - 1), 7));
}

#[test]
fn a_roster_is_the_same_after_it_was_written_and_read() {
    let mut roster = with(&[("a", HERE), ("b", THERE)]);
    roster.presence_mut().set(Availability::Busy, Millis(3));
    roster.news("alice", HERE, None).unwrap();
    let text = serde_json::to_string(&roster).unwrap();
    assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), roster);
    assert_eq!(serde_json::from_str::<Roster>("{}").unwrap(), Roster::default(), "of an earlier version");
}

#[test]
fn a_server_that_is_gone_takes_its_connections_with_it() {
    let mut roster = with(&[("a", HERE), ("b", THERE)]);
    assert!(roster.has(HERE) && roster.has(THERE));
    roster.bury(THERE, Millis(9));
    assert!(roster.has(HERE) && !roster.has(THERE));
    assert_eq!(devices(&roster), ["a"]);
    assert_eq!(roster.there(), BTreeSet::from(["a"]));
    roster.bury(HERE, Millis(10));
    assert!(roster.is_empty());
    assert_eq!(roster.presence().shown("alice").last_seen, 10);
}

#[test]
fn who_was_away_says_what_it_knows_of_its_own() {
    let ours = with(&[("a", HERE), ("b", THERE)]);
    // Redis came back empty.
    let mut roster = Roster::default();
    roster.merge(&ours, HERE);
    assert_eq!(devices(&roster), ["a"], "of others' connections others know");
    roster.merge(&ours, THERE);
    assert_eq!(devices(&roster), ["a", "b"]);
    // It came back as it was, and one has gone meanwhile.
    roster.merge(&with(&[("b", THERE)]), HERE);
    assert_eq!(devices(&roster), ["b"]);
    assert_eq!(roster.there(), BTreeSet::from(["b"]));
}

#[test]
fn a_device_that_has_moved_meanwhile_keeps_its_later_place() {
    let claim = |server, epoch| {
        let mut roster = Roster::default();
        let ticket = Ticket::new(server, 1);
        roster.claim(ticket, &connection("a", Web, epoch), 10, LAST, &[]).unwrap();
        (roster, ticket)
    };
    for (ours, theirs) in [(1, 2), (2, 1)] {
        let ((ours, our_ticket), (theirs, their_ticket)) = (claim(HERE, ours), claim(THERE, theirs));
        let mut roster = theirs.clone();
        roster.merge(&ours, HERE);
        let later = if ours.is_superseded("a", 1) { our_ticket } else { their_ticket };
        assert!(roster.has_place(later));
        assert_eq!(devices(&roster).len(), 1);
    }
}

#[test]
fn what_is_told_is_told_once_and_again_if_two_overtake_each_other() {
    let mut roster = with(&[("a", HERE)]);
    let first = roster.news("alice", HERE, None).unwrap();
    assert!(first.own.is_some() && first.shown.is_some());
    assert_eq!(roster.news("alice", HERE, Some(first.times)), None);
    roster.presence_mut().set(Availability::Busy, Millis(3));
    let second = roster.news("alice", HERE, None).unwrap();
    assert_eq!(second.shown.as_ref().unwrap().availability(), Availability::Busy);
    // Who told the first may have done so after the second was told.
    let again = roster.news("alice", HERE, Some(first.times)).unwrap();
    assert_eq!(again, second);
    assert_eq!(roster.news("alice", HERE, Some(again.times)), None, "both know");
    assert_eq!(roster.news("alice", HERE, Some(second.times)), None);
    roster.bury(THERE, Millis(4));
    assert_eq!(roster.news("alice", HERE, None), None, "another one has told it");
    roster.bury(HERE, Millis(5));
    let last = roster.news("alice", THERE, None).unwrap();
    assert_eq!(last.shown.unwrap().availability(), Availability::Offline);
    roster.doubt_told();
    assert!(roster.news("alice", THERE, Some(last.times)).is_some());
}

#[test]
fn more_than_there_may_be_go_the_later_ones_from_the_web_else_the_earlier() {
    let mut roster = with(&[("a", HERE), ("b", THERE)]);
    for (number, device) in [(7, "c"), (8, "d")] {
        roster.claim(Ticket::new(HERE, number), &connection(device, Mobile, 0), 2, LAST, &[]).unwrap();
    }
    let gone = roster.enforce(&Limits { web: 1, mobile: 1, ..Limits::default() });
    let gone: Vec<Ticket> = gone.into_iter().map(|gone| gone.ticket).collect();
    assert_eq!(gone, [Ticket::new(HERE, 7), Ticket::new(THERE, 2)]);
    assert_eq!(devices(&roster), ["a", "d"]);
}
