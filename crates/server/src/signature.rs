//! Who signs the headers of a request: `Signature` is the hex SHA-1 of a secret, `Nonce` and `Timestamp`, one after the
//! other. It is the scheme of a service that back ends may have been written against, and as weak as that one's: it
//! says nothing of the body. So what a request does, it does once, however often its headers come: see [`Signed::id`].

use axum::http::HeaderMap;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tutti_protocol::{Millis, OperationId};

/// How far `Timestamp` may be from this server's clock, in milliseconds: what was overheard is worth nothing for
/// longer.
const FRESH: u64 = 5 * 60 * 1_000;
/// Longest nonce, in bytes.
const NONCE: usize = 64;
/// Timestamps below are in seconds, as some write them; as milliseconds they were of the year 1973.
const SECONDS: u64 = 100_000_000_000;

/// Whose signatures are believed.
pub(crate) struct Signatures {
    app_key: Option<String>,
    secret: String,
}

/// Why a signature is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsigned {
    /// It is not there, or somebody else's.
    #[error(
        "App-Key, Nonce, Timestamp and Signature are needed, the last one the SHA-1 of secret, nonce and timestamp"
    )]
    Wrong,
    /// It is too old, or the clocks differ.
    #[error("Timestamp is more than five minutes off")]
    Stale,
}

/// The headers of a request were signed with the secret.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    nonce: String,
    at: Millis,
}

impl Signatures {
    /// Those made with a secret, and perhaps in the name of one application alone.
    #[must_use]
    pub(crate) fn new(app_key: Option<String>, secret: String) -> Self {
        Self { app_key, secret }
    }

    /// Believes the headers of a request or not.
    ///
    /// # Errors
    /// [`Unsigned`] says why not. Only who has the secret learns that it comes too late.
    pub(crate) fn verify(&self, headers: &HeaderMap, now: Millis) -> Result<Signed, Unsigned> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(Unsigned::Wrong);
        let app_key = header("app-key")?;
        let (nonce, timestamp, signature) = (header("nonce")?, header("timestamp")?, header("signature")?);
        let is_ours =
            self.app_key.as_ref().is_none_or(|ours| ours.as_bytes().ct_eq(app_key.as_bytes()).into());
        let signed = self.sign(nonce, timestamp);
        let is_signed: bool = signed.as_bytes().ct_eq(signature.to_ascii_lowercase().as_bytes()).into();
        if !is_ours || !is_signed || nonce.is_empty() || nonce.len() > NONCE {
            return Err(Unsigned::Wrong);
        }
        let at: u64 = timestamp.parse().map_err(|_| Unsigned::Wrong)?;
        let at = if at < SECONDS { at * 1_000 } else { at };
        if at.abs_diff(now.0) > FRESH {
            return Err(Unsigned::Stale);
        }
        Ok(Signed { nonce: nonce.to_owned(), at: Millis(at) })
    }

    fn sign(&self, nonce: &str, timestamp: &str) -> String {
        let signed = [self.secret.as_str(), nonce, timestamp].concat();
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Signed {
    /// An id for what such a request does for one account in one conversation: the same when the headers come again, so
    /// that it is done once.
    #[must_use]
    pub(crate) fn id(&self, account: &str, conversation: &str) -> OperationId {
        let mut hash = Sha256::new();
        for part in [&self.nonce, account, conversation] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let [entropy @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _]: [u8; 32] =
            hash.finalize().into();
        OperationId::mint(self.at, entropy)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const NOW: Millis = Millis(1_408_710_653_000);

    fn headers(values: [(&'static str, &str); 4]) -> HeaderMap {
        let header = |(name, value): (&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        values.into_iter().map(header).collect()
    }

    /// Signed with `sha1sum`.
    fn example() -> [(&'static str, &'static str); 4] {
        [
            ("app-key", "an application"),
            ("nonce", "14314"),
            ("timestamp", "1408710653000"),
            ("signature", SIGNATURE),
        ]
    }

    const SECRET: &str = "a secret of some length";
    const SIGNATURE: &str = "e5a0552a3674421f213808f3535237ae55c67246";

    fn verify(values: [(&'static str, &str); 4], now: Millis) -> Result<Signed, Unsigned> {
        Signatures::new(Some("an application".to_owned()), SECRET.to_owned()).verify(&headers(values), now)
    }

    #[test]
    fn a_signature_is_the_sha_1_of_secret_nonce_and_timestamp() {
        assert!(verify(example(), NOW).is_ok());
        let [key, nonce, at, _] = example();
        assert!(verify([key, nonce, at, ("signature", &SIGNATURE.to_uppercase())], NOW).is_ok());
        let anyone = Signatures::new(None, SECRET.to_owned());
        assert!(anyone.verify(&headers([("app-key", "another"), nonce, at, example()[3]]), NOW).is_ok());
    }

    #[test]
    fn whatever_differs_is_not_believed() {
        let other = |place: usize, value: &'static str| {
            let mut values = example();
            values[place].1 = value;
            verify(values, NOW).err()
        };
        for place in 0..4 {
            for value in ["", "1", "1408710653001", &SIGNATURE[1..]] {
                assert_eq!(other(place, value), Some(Unsigned::Wrong), "{place} {value}");
            }
        }
        let mut without = headers(example());
        without.remove("app-key");
        let anyone = Signatures::new(None, SECRET.to_owned());
        assert_eq!(anyone.verify(&without, NOW).err(), Some(Unsigned::Wrong));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_before_and_after() {
        for (off, good) in [(-300_001, false), (-300_000, true), (300_000, true), (300_001, false)] {
            let verified = verify(example(), Millis(NOW.0.saturating_add_signed(off)));
            assert_eq!(verified.err(), (!good).then_some(Unsigned::Stale), "{off}");
        }
    }

    #[test]
    fn a_timestamp_may_be_in_seconds() {
        let signatures = Signatures::new(None, SECRET.to_owned());
        let signature = signatures.sign("n", "1408710653");
        let values =
            [("app-key", "k"), ("nonce", "n"), ("timestamp", "1408710653"), ("signature", &signature)];
        assert_eq!(signatures.verify(&headers(values), NOW).unwrap().at, NOW);
    }

    #[test]
    fn what_is_done_has_the_same_id_when_the_headers_come_again() {
        let signed = |nonce: &str, at| Signed { nonce: nonce.to_owned(), at: Millis(at) };
        let id = signed("n", 7).id("alice", "direct:bob");
        assert_eq!(signed("n", 7).id("alice", "direct:bob"), id);
        assert_ne!(signed("m", 7).id("alice", "direct:bob"), id);
        assert_ne!(signed("n", 8).id("alice", "direct:bob"), id);
        assert_ne!(signed("n", 7).id("alic", "edirect:bob"), id);
    }
}
