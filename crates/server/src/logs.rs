//! What is in the logs, and what is not: no account, no device, nothing that anybody has said, no token. Of an account
//! there is a pseudonym, of a request its id.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: a line each.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

/// What logs call accounts: the same name for the same account on each server that has the same token secret, and
/// nobody without the secret can tell whose it is.
pub(crate) struct Pseudonyms(hmac::Key);

/// Bytes of a pseudonym: enough to tell accounts apart, too few to be good for a signature.
const PSEUDONYM: usize = 6;

impl Pseudonyms {
    /// Made with a secret.
    #[must_use]
    pub(crate) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// That of an account, in hexadecimal.
    #[must_use]
    pub(crate) fn of(&self, account: &str) -> String {
        // No token that this secret signs begins like this.
        let signed = hmac::sign(&self.0, format!("log:{account}").as_bytes());
        signed.as_ref().iter().take(PSEUDONYM).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The header that has a request's id, on its way here and back.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken from a request.
const LONGEST: usize = 64;

/// Names a request, or the connection that it became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

impl RequestId {
    /// The one that a request brings, so that it is the same in the logs of whoever passed it on; else a new one.
    #[must_use]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let brought = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_sane(id));
        Self(brought.map_or_else(|| made().into(), Into::into))
    }
}

impl From<RequestId> for HeaderValue {
    fn from(RequestId(id): RequestId) -> Self {
        // What is sane, or made here, can stand in a header.
        Self::from_str(&id).unwrap_or_else(|_| Self::from_static(""))
    }
}

/// Whether it can stand in a line of a log, and be no other line's beginning.
fn is_sane(id: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(sane)
}

fn made() -> String {
    // Without randomness requests are not told apart, which harms the logs alone.
    format!("{:016x}", getrandom::u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_pseudonym_under_a_secret() {
        let of = |secret: &str, account: &str| Pseudonyms::new(secret).of(account);
        // printf log:alice | openssl dgst -sha256 -hmac secret
        assert_eq!(of("secret", "alice"), "12d6b6009aae");
        assert_ne!(of("secret", "alice"), of("secret", "alicf"));
        assert_ne!(of("secret", "alice"), of("another", "alice"));
    }

    #[test]
    fn an_id_is_taken_from_a_request_if_it_is_sane() {
        let id = |brought: &str| {
            let headers = [(REQUEST_ID, HeaderValue::from_str(brought).unwrap())];
            RequestId::of(&headers.into_iter().collect()).0
        };
        for sane in ["7", "4bf92f35-77b3.4da6_a3ce", &"x".repeat(64)] {
            assert_eq!(&*id(sane), sane);
        }
        for other in ["", "a b", "a\tb", "{}", "\"", &"x".repeat(65)] {
            let made = id(other);
            assert!(made.len() == 16 && *made != *other, "{made}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }
}
