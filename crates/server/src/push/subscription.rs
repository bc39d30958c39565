//! Where a browser wants its pushes, and how they are sealed for it.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use p256::{PublicKey, elliptic_curve::sec1::ToSec1Point as _};
use serde::{Deserialize, Serialize};
use url::Url;

use super::services::{NotAllowed, Services};

/// Longest endpoint, in bytes.
pub const MAX_ENDPOINT: usize = 1_024;
/// A point of P-256 as it is sent, uncompressed (SEC 1), in bytes.
pub(crate) const POINT: usize = 65;
/// The secret that a browser shares with who may push, in bytes (RFC 8291, section 3.2).
pub(crate) const AUTH: usize = 16;

/// A browser's push subscription (RFC 8030, RFC 8291).
///
/// Who knows the endpoint may push there, so neither `Debug` nor a log has more of it than its origin.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    endpoint: Url,
    p256dh: PublicKey,
    auth: [u8; AUTH],
}

/// Why a subscription is refused.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// It is not what `PushSubscription.toJSON()` gives.
    #[error("not a push subscription: {0}")]
    Json(#[from] serde_json::Error),
    /// The endpoint is too long.
    #[error("the endpoint is longer than {MAX_ENDPOINT} bytes")]
    TooLong,
    /// The endpoint is no address.
    #[error("the endpoint is no URL")]
    Url,
    /// The endpoint has a user's name or password in it.
    #[error("the endpoint has a user in it")]
    User,
    /// The endpoint has a fragment, which nobody would be sent.
    #[error("the endpoint has a fragment")]
    Fragment,
    /// The endpoint is nothing that this server calls.
    #[error("the endpoint: {0}")]
    NotAllowed(#[from] NotAllowed),
    /// `p256dh` is no point of P-256 that is uncompressed and in base64url.
    #[error("p256dh is no uncompressed point of P-256 in base64url without padding")]
    Point,
    /// `auth` is something else than 16 bytes in base64url.
    #[error("auth is not {AUTH} bytes in base64url without padding")]
    Auth,
}

impl SubscriptionError {
    /// What is wrong: `endpoint`, `keys.p256dh` or `keys.auth`; `None` when it is the whole.
    #[must_use]
    pub fn field(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) => None,
            Self::TooLong | Self::Url | Self::User | Self::Fragment | Self::NotAllowed(_) => Some("endpoint"),
            Self::Point => Some("keys.p256dh"),
            Self::Auth => Some("keys.auth"),
        }
    }
}

/// As `PushSubscription.toJSON()` gives it; what else it says is passed over.
#[derive(Serialize, Deserialize)]
struct Json {
    endpoint: String,
    keys: Keys,
}

#[derive(Serialize, Deserialize)]
struct Keys {
    p256dh: String,
    auth: String,
}

impl Subscription {
    /// Reads what `PushSubscription.toJSON()` gives, or [`Subscription::to_json`].
    ///
    /// # Errors
    /// [`SubscriptionError`] says what is wrong with it.
    pub fn from_json(json: &str, services: &Services) -> Result<Self, SubscriptionError> {
        let Json { endpoint, keys } = serde_json::from_str(json)?;
        Self::new(&endpoint, &keys.p256dh, &keys.auth, services)
    }

    /// Made of its three parts, the last two in base64url without padding.
    ///
    /// # Errors
    /// [`SubscriptionError`] says which of them is wrong, and why.
    pub fn new(
        endpoint: &str,
        p256dh: &str,
        auth: &str,
        services: &Services,
    ) -> Result<Self, SubscriptionError> {
        let p256dh = decode::<POINT>(p256dh).ok_or(SubscriptionError::Point)?;
        let auth = decode::<AUTH>(auth).ok_or(SubscriptionError::Auth)?;
        Self::of_bytes(endpoint, &p256dh, &auth, services)
    }

    /// Made of its three parts, as they go over the wire and are stored.
    ///
    /// # Errors
    /// [`SubscriptionError`] says which of them is wrong, and why.
    pub fn of_bytes(
        endpoint: &str,
        p256dh: &[u8],
        auth: &[u8],
        services: &Services,
    ) -> Result<Self, SubscriptionError> {
        let endpoint = read_endpoint(endpoint)?;
        services.way(&endpoint)?;
        let p256dh = PublicKey::from_sec1_bytes(p256dh).map_err(|_| SubscriptionError::Point)?;
        let auth = auth.try_into().map_err(|_| SubscriptionError::Auth)?;
        Ok(Self { endpoint, p256dh, auth })
    }

    /// As it is stored, to be read again by [`Subscription::from_json`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let keys =
            Keys { p256dh: BASE64.encode(self.p256dh.to_sec1_point(false)), auth: BASE64.encode(self.auth) };
        serde_json::json!(Json { endpoint: self.endpoint.to_string(), keys }).to_string()
    }

    /// Where pushes go. A capability: who knows it may push.
    #[must_use]
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// The push service: all of the endpoint that may be logged.
    #[must_use]
    pub fn origin(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    /// What pushes are sealed for.
    pub(crate) fn p256dh(&self) -> &PublicKey {
        &self.p256dh
    }

    /// What only those know who may push.
    pub(crate) fn auth(&self) -> &[u8; AUTH] {
        &self.auth
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("origin", &self.origin()).finish_non_exhaustive()
    }
}

fn read_endpoint(text: &str) -> Result<Url, SubscriptionError> {
    if text.len() > MAX_ENDPOINT {
        return Err(SubscriptionError::TooLong);
    }
    // Browsers give it as it is sent. A URL's parser would take out tabs and line breaks, and turn backslashes.
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(SubscriptionError::Url);
    }
    let url = Url::parse(text).map_err(|_| SubscriptionError::Url)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SubscriptionError::User);
    }
    if url.fragment().is_some() {
        return Err(SubscriptionError::Fragment);
    }
    Ok(url)
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const ENDPOINT: &str = "https://fcm.googleapis.com/wp/a-capability";

    fn given() -> Value {
        json!({
            "endpoint": ENDPOINT,
            "expirationTime": null,
            "keys": {"p256dh": P256DH, "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
        })
    }

    fn read(json: &Value) -> Result<Subscription, SubscriptionError> {
        Subscription::from_json(&json.to_string(), &Services::default())
    }

    #[test]
    fn what_a_browser_gives_is_read_and_kept() {
        let subscription = read(&given()).unwrap();
        assert_eq!(subscription.endpoint().as_str(), ENDPOINT);
        let again = Subscription::from_json(&subscription.to_json(), &Services::default()).unwrap();
        assert_eq!(subscription, again);
    }

    #[test]
    fn nothing_that_is_logged_lets_others_push() {
        let subscription = read(&given()).unwrap();
        let shown = format!("{subscription:?} {}", subscription.origin());
        assert!(!shown.contains("capability") && !shown.contains("auth"), "{shown}");
    }

    #[test]
    fn every_part_is_read_strictly() {
        let refused = |pointer: &str, value: Value| {
            let mut given = given();
            *given.pointer_mut(pointer).unwrap() = value;
            read(&given).unwrap_err()
        };
        let longest = format!("{ENDPOINT}{}", "x".repeat(MAX_ENDPOINT - ENDPOINT.len()));
        for (endpoint, expected) in [
            (format!("{longest}x"), "longer than"),
            (String::new(), "no URL"),
            ("/wp/a".to_owned(), "no URL"),
            ("https://fcm.google\tapis.com/".to_owned(), "no URL"),
            ("https:\\\\fcm.googleapis.com/".to_owned(), "no URL"),
            (format!(" {ENDPOINT}"), "no URL"),
            ("https://ｆcm.googleapis.com/".to_owned(), "no URL"),
            ("https://me@fcm.googleapis.com/".to_owned(), "user"),
            ("https://:secret@fcm.googleapis.com/".to_owned(), "user"),
            (format!("{ENDPOINT}#"), "fragment"),
            (format!("{ENDPOINT}#a"), "fragment"),
            ("http://fcm.googleapis.com/wp/a".to_owned(), "not https"),
            ("https://evil.example/wp/a".to_owned(), "evil.example"),
        ] {
            let error = refused("/endpoint", json!(endpoint));
            assert!(error.to_string().contains(expected), "{endpoint}: {error}");
            assert_eq!(error.field(), Some("endpoint"));
        }
        let mut point = BASE64.decode(P256DH).unwrap();
        point[64] ^= 1;
        let off_the_curve = BASE64.encode(&point);
        let compressed = BASE64.encode([&[2], &point[1..33]].concat());
        let hybrid = BASE64.encode([&[6], &point[1..]].concat());
        let nowhere = BASE64.encode([0; 65]);
        let padded = format!("{P256DH}=");
        for wrong in ["", "AA", &off_the_curve, &compressed, &hybrid, &nowhere, &padded, &P256DH[1..]] {
            let error = refused("/keys/p256dh", json!(wrong));
            assert!(matches!(error, SubscriptionError::Point), "{wrong}: {error}");
        }
        for wrong in
            ["", "BTBZMqHH6r4Tts7J_aSI", "BTBZMqHH6r4Tts7J_aSIgg==", "BTBZMqHH6r4Tts7J/aSIgg", P256DH]
        {
            let error = refused("/keys/auth", json!(wrong));
            assert!(matches!(error, SubscriptionError::Auth), "{wrong}: {error}");
        }
        for pointer in ["/endpoint", "/keys", "/keys/p256dh", "/keys/auth"] {
            assert!(matches!(refused(pointer, json!(7)), SubscriptionError::Json(_)), "{pointer}");
        }
        let twice = format!(r#"{{"endpoint": "{ENDPOINT}", {}"#, &given().to_string()[1..]);
        assert!(Subscription::from_json(&twice, &Services::default()).is_err());
        let mut long = given();
        long["endpoint"] = json!(longest);
        assert!(read(&long).is_ok());
    }
}
