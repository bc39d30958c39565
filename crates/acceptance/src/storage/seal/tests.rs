use super::*;

fn keyring() -> Keyring {
    Keyring::new(MasterKeys::new("a master key for the tests alone").present)
}

/// A seal of an account, with a new key.
fn seal_of(keyring: &Keyring, account: &str) -> Arc<Seal> {
    keyring.seal(account, Some(&keyring.mint(account).unwrap())).unwrap()
}

const WHATS: [What<'static>; 8] = [
    What::Message(&[1; 16]),
    What::Message(&[2; 16]),
    What::Notification(&[1; 16]),
    What::Digest(&[1; 16]),
    What::Field("direct:bob", "draft"),
    What::Field("direct:bobd", "raft"),
    What::Field("direct:bob", "pinned"),
    What::Key,
];

#[test]
fn what_was_sealed_opens_in_its_place_alone() {
    let keyring = keyring();
    let (alice, bob) = (seal_of(&keyring, "alice"), seal_of(&keyring, "bob"));
    for what in WHATS {
        let sealed = alice.seal(what, b"\"hi\"").unwrap();
        assert_eq!(alice.open(what, &sealed).unwrap(), "\"hi\"");
        for other in WHATS {
            assert_eq!(alice.open(other, &sealed).is_ok(), format!("{what:?}") == format!("{other:?}"));
        }
        assert!(bob.open(what, &sealed).is_err(), "bob has another key");
        let bob_with_alices_key = Seal { account: "bob".to_owned(), key: alice.key.clone() };
        assert!(bob_with_alices_key.open(what, &sealed).is_err());
    }
}

#[test]
fn whatever_is_changed_opens_no_more_and_says_what_it_is() {
    let alice = seal_of(&keyring(), "alice");
    let what = What::Message(&[1; 16]);
    let sealed = alice.seal(what, b"\"hi\"").unwrap();
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            let error = alice.open(what, &changed).unwrap_err().to_string();
            assert!(error.contains("the content of message 01010101-0101"), "{error}");
        }
        if at > 0 {
            assert!(alice.open(what, &sealed[..at]).is_err(), "{at} bytes of it");
        }
    }
    assert!(alice.open(what, &[&sealed[..], &[0]].concat()).is_err());
}

#[test]
fn the_same_is_never_sealed_alike() {
    let alice = seal_of(&keyring(), "alice");
    let seal = || alice.seal(What::Message(&[1; 16]), b"\"hi\"").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn nothing_stays_nothing() {
    let alice = seal_of(&keyring(), "alice");
    let what = What::Field("session:a", "x");
    assert_eq!(alice.seal(what, b"").unwrap(), b"");
    assert_eq!(alice.open(what, b"").unwrap(), "");
}

#[test]
fn a_wrapped_key_opens_for_its_account_under_its_master_key_alone() {
    let keys = MasterKeys::new("a master key for the tests alone");
    let wrapped = keyring().mint("alice").unwrap();
    assert!(keys.present.unwrap("alice", &wrapped).is_ok());
    assert!(keys.present.unwrap("bob", &wrapped).is_err());
    assert!(keyring().seal("bob", Some(&wrapped)).is_err());
    assert!(MasterKeys::new("another").present.unwrap("alice", &wrapped).is_err());
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        let error = keyring().seal("alice", Some(&changed)).err().unwrap().to_string();
        assert!(error.contains("the key of an account"), "{error}");
    }
    assert!(keyring().seal("alice", None).is_err());
}

#[test]
fn each_account_has_a_key_of_its_own() {
    let (keyring, keys) = (keyring(), MasterKeys::new("a master key for the tests alone"));
    let key = |account| {
        let wrapped = keyring.mint(account).unwrap();
        keys.present.unwrap(account, &wrapped).unwrap().to_vec()
    };
    let found: std::collections::BTreeSet<_> = ["alice", "bob", "alice"].map(key).into();
    assert_eq!(found.len(), 3, "none is derived from a name");
}

#[test]
fn a_seal_that_is_held_counts_for_its_wrapped_key_alone() {
    let keyring = keyring();
    let [undone, kept] = [(); 2].map(|()| keyring.mint("alice").unwrap());
    let what = What::Message(&[1; 16]);
    let sealed = keyring.seal("alice", Some(&undone)).unwrap().seal(what, b"1").unwrap();
    let seal = keyring.seal("alice", Some(&kept)).unwrap();
    assert!(seal.open(what, &sealed).is_err());
    let sealed = seal.seal(what, b"2").unwrap();
    assert_eq!(keyring.seal("alice", Some(&kept)).unwrap().open(what, &sealed).unwrap(), "2");
}

#[test]
fn no_more_keys_are_held_than_so_many() {
    let keyring = keyring();
    let wrapped = keyring.mint("often").unwrap();
    let often = keyring.seal("often", Some(&wrapped)).unwrap();
    let held = |keyring: &Keyring| {
        let held = keyring.held.lock().unwrap();
        held.recent.len() + held.before.len()
    };
    let mut most = 0;
    for number in 0..3 * HELD {
        seal_of(&keyring, &format!("account {number}"));
        assert!(Arc::ptr_eq(&often, &keyring.seal("often", Some(&wrapped)).unwrap()), "{number}");
        most = most.max(held(&keyring));
    }
    assert!(most <= 2 * HELD, "{most}");
}

/// RFC 5869 and the draft of XChaCha20-Poly1305 leave no choice but names: whoever changes those cannot open what
/// was sealed before.
#[test]
fn what_was_wrapped_before_opens_still() {
    let keys = MasterKeys::new("a master key for the tests alone");
    let wrapped = bytes(
        "547387333de99940eb1d99813ef5b2876b317913df87947a3039dcfc1217835a521ef7ae\
         1de3b0d84cc6657bbb32eec04eadc2a25733cfa3511e2727060a2aaa756dd11b20760b3f",
    );
    let sealed =
        bytes("c50e1c79de3d691f24bb64ba554c6d38a1a5175b2b4452e007d1b4783eeacafde0e2fb713207be8ca73d4508");
    let key = keys.present.unwrap("alice", &wrapped).unwrap();
    assert_eq!(key[..], [7; KEY_LEN]);
    let alice = keyring().seal("alice", Some(&wrapped)).unwrap();
    assert_eq!(alice.open(What::Message(&[1; 16]), &sealed).unwrap(), "\"hi\"");
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
