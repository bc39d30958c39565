//! What holds for clocks, ids and conversations, whatever they are given.

use tutti_fuzz::Rng;
use tutti_protocol::{
    Conversation, DeviceId, HybridClock, InvalidConversation, InvalidId, Millis, OperationId, Target,
    Timestamp, codec, limits,
    wire::{Field, Fields, Operation, Set, operation},
};

/// The last millisecond that 48 bits can say is in the year 10889; clocks here end a little before.
const END: u64 = (1 << 48) - (1 << 20);

/// A moment anywhere, most often near the one before, as a wall clock that is set and drifts.
fn wall(rng: &mut Rng, before: u64) -> u64 {
    match rng.below(10) {
        0 => rng.number() % END,
        1 => before.saturating_sub(rng.below(10_000)),
        2..=5 => before,
        _ => (before + rng.below(10_000)).min(END),
    }
}

#[test]
fn a_hybrid_clock_only_grows_and_comes_after_all_it_believed() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut clock = HybridClock::default();
        let mut now = rng.number() % END;
        // The latest reading that was given or believed: the next must come after it.
        let mut latest = Timestamp::default();
        for _ in 0..100 {
            now = wall(&mut rng, now);
            if rng.below(3) == 0 {
                let counter = rng.pick(&[0, 1, 0xfffe, 0xffff]);
                let anywhere = rng.below(2 * limits::CLOCK_AHEAD);
                let ahead = rng.pick(&[limits::CLOCK_AHEAD, limits::CLOCK_AHEAD + 1, anywhere]);
                let other = Timestamp(Timestamp::at(Millis(now + ahead)).0 | counter);
                clock.observe(other, Millis(now));
                if ahead <= limits::CLOCK_AHEAD {
                    latest = latest.max(other);
                }
            } else {
                let reading = clock.tick(Millis(now));
                assert!(reading > latest, "seed {seed}: {reading} after {latest}");
                assert!(reading >= Timestamp::at(Millis(now)), "seed {seed}");
                latest = reading;
            }
        }
    }
}

#[test]
fn a_hybrid_clock_runs_ahead_no_further_than_it_believes() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut clock = HybridClock::default();
        let mut now = rng.number() % END;
        for _ in 0..100 {
            // A wall clock that does not go back, among peers whose clocks say anything.
            now = (now + rng.below(1_000)).min(END);
            clock.observe(Timestamp(rng.number()), Millis(now));
            let reading = clock.tick(Millis(now));
            // The counter of a believed reading may be full, and carries one millisecond over.
            let end = Millis(now).plus(limits::CLOCK_AHEAD + 1);
            assert!(reading.millis() <= end, "seed {seed}: {reading} at {now}");
        }
    }
}

#[test]
fn a_timestamp_keeps_its_moment() {
    for seed in 0..10_000 {
        let mut rng = Rng::new(seed);
        let moment = Millis(rng.number() >> 16);
        assert_eq!(Timestamp::at(moment).millis(), moment);
        let later = Millis(rng.number() >> 16);
        assert_eq!(moment.cmp(&later), Timestamp::at(moment).cmp(&Timestamp::at(later)));
    }
}

#[test]
fn minted_ids_order_by_time_and_read_back() {
    for seed in 0..10_000 {
        let mut rng = Rng::new(seed);
        let (early, late) = (rng.number() >> 17, rng.number() >> 17);
        let (early, late) = (early.min(late), early.max(late) + 1);
        let first = OperationId::mint(Millis(early), rng.bytes());
        let second = OperationId::mint(Millis(late), rng.bytes());
        assert!(first < second, "seed {seed}: {first} < {second}");
        assert!(first.to_string() < second.to_string(), "seed {seed}");

        let uuid = uuid::Uuid::from_bytes(*first.as_bytes());
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
        assert_eq!(first.to_string().parse(), Ok(first));
        assert_eq!(OperationId::try_from(&first.to_bytes()), Ok(first));
    }
}

#[test]
fn entropy_tells_ids_of_one_millisecond_apart() {
    let mut rng = Rng::new(1);
    let ids: std::collections::BTreeSet<_> =
        (0..10_000).map(|_| OperationId::mint(Millis(1_700_000_000_000), rng.bytes())).collect();
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn only_16_bytes_are_an_id() {
    for length in 0..64 {
        let bytes = vec![3; length];
        let id = DeviceId::try_from(&bytes[..]);
        assert_eq!(id.is_ok(), length == 16, "{length} bytes");
    }
}

#[test]
fn other_spellings_of_a_uuid_are_no_ids() {
    let uuid = uuid::Uuid::from_bytes(Rng::new(7).bytes());
    let spellings = [uuid.simple().to_string(), uuid.braced().to_string(), uuid.urn().to_string()];
    for spelling in spellings {
        assert_eq!(spelling.parse::<DeviceId>(), Err(InvalidId), "{spelling}");
    }
}

/// What reads as an id is its hyphenated form; nothing with a character changed slips through as
/// something else.
#[test]
fn damaged_ids_are_refused_or_are_what_they_say() {
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed);
        let id = DeviceId::from(rng.bytes());
        let mut text: Vec<char> = id.to_string().chars().collect();
        let at = rng.below(text.len() as u64) as usize;
        match rng.below(3) {
            0 => text[at] = rng.pick(&['-', 'g', '0', 'f', ' ', '{', '\0', 'é']),
            1 => drop(text.remove(at)),
            _ => text.insert(at, rng.pick(&['-', '0', ' '])),
        }
        let text: String = text.into_iter().collect();
        match text.parse::<DeviceId>() {
            Ok(read) => assert_eq!(read.to_string(), text, "seed {seed}"),
            Err(InvalidId) => assert_ne!(text, id.to_string(), "seed {seed}"),
        }
    }
}

/// Reading is told again here, so that neither definition can drift alone.
#[test]
fn a_conversation_is_a_kind_and_a_name() {
    let pieces = [
        "direct",
        "group",
        ":",
        "Direct",
        "a",
        "bob",
        "é",
        "☎",
        " ",
        "\n",
        "\0",
        "\u{7f}",
        "\u{9f}",
        &"x".repeat(127),
        &"é".repeat(64),
    ];
    let mut valid = 0;
    for seed in 0..50_000 {
        let mut rng = Rng::new(seed);
        let mut id = String::new();
        if rng.below(4) > 0 {
            id += rng.pick(&["direct:", "group:"]);
        }
        for _ in 0..rng.below(4) {
            id += rng.pick(&pieces);
        }

        let name = id.strip_prefix("direct:").or_else(|| id.strip_prefix("group:"));
        let expected = name.is_some_and(|name| {
            (1..=128).contains(&name.len())
                && name.chars().all(|c| c >= ' ' && !('\u{7f}'..='\u{9f}').contains(&c))
        });
        match Conversation::parse(&id) {
            Ok(conversation) => {
                assert!(expected, "seed {seed}: {id:?}");
                assert_eq!(conversation.to_string(), id);
                let (Conversation::Direct(read) | Conversation::Group(read)) = conversation;
                assert_eq!(Some(read), name);
                valid += 1;
            }
            Err(InvalidConversation) => assert!(!expected, "seed {seed}: {id:?}"),
        }
    }
    assert!((10_000..40_000).contains(&valid), "{valid} valid");
}

/// The same for what has fields.
#[test]
fn a_target_is_a_conversation_or_a_session() {
    let pieces =
        ["session", "direct:", "group:", ":", "a", "é", "\n", "\u{9f}", &"x".repeat(128), &"é".repeat(64)];
    let (mut conversations, mut sessions) = (0, 0);
    for seed in 0..50_000 {
        let mut rng = Rng::new(seed);
        let mut text = rng.pick(&["session:", "session:", "direct:", "group:", ""]).to_owned();
        for _ in 0..rng.below(5) {
            text += rng.pick(&pieces);
        }

        match Target::parse(&text) {
            Some(Target::Session(key)) => {
                assert_eq!(format!("session:{key}"), text);
                assert!((1..=256).contains(&key.len()), "seed {seed}");
                assert!(!key.contains(char::is_control), "seed {seed}");
                sessions += 1;
            }
            Some(Target::Conversation(id)) => {
                assert_eq!(id, text);
                assert!(Conversation::parse(id).is_ok(), "seed {seed}");
                conversations += 1;
            }
            None => {
                assert!(Conversation::parse(&text).is_err(), "seed {seed}");
                let key = text.strip_prefix("session:").unwrap_or_default();
                let wrong = key.is_empty() || key.len() > 256 || key.contains(char::is_control);
                assert!(wrong, "seed {seed}: {text:?}");
            }
        }
    }
    assert!(conversations > 5_000 && sessions > 5_000, "{conversations} and {sessions}");
}

/// Fields are set in any order, and what was set can be told.
#[test]
fn what_may_be_set_may_be_told_in_any_order() {
    let check = |target: &str, fields: &[Field]| {
        let set = Set { target: target.into(), fields: fields.to_vec() };
        let operation = Operation { body: Some(operation::Body::Set(set)), id: vec![7; 16].into(), clock: 1 };
        codec::check_operation(&operation).is_ok()
    };
    let mut valid = 0;
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed);
        let target = rng.pick(&["direct:bob", "group:team", "session:a", "session:direct:bob"]);
        let names: &[&str] =
            if rng.below(4) == 0 { &["draft", "x", "é"] } else { &["draft", "muted", "pinned"] };
        let field = |_| Field {
            name: rng.pick(names).to_owned(),
            value: rng.pick(&["", "", "true", "false", "\"hi\"", "[1]", "{"]).into(),
        };
        let mut fields: Vec<Field> = (0..1 + seed % 3).map(field).collect();
        let taken = check(target, &fields);
        fields.reverse();
        assert_eq!(check(target, &fields), taken, "seed {seed}");
        if taken {
            fields.retain(|field| !field.value.is_empty());
            let told = Fields { target: target.into(), fields, ..Fields::default() };
            assert_eq!(codec::check_shared(&told), Ok(()), "seed {seed}");
            valid += 1;
        }
    }
    assert!((2_000..18_000).contains(&valid), "{valid} valid");
}
