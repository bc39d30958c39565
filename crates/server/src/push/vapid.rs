//! Who pushes: a signed token for each push service (VAPID, RFC 8292), so that nobody else can use a subscription, and
//! the service knows whom to ask.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::Generate as _,
};
use serde_json::json;
use url::Url;

/// How long a token is good for; 24 hours are the most (RFC 8292, section 2).
const TTL: Duration = Duration::from_secs(12 * 60 * 60);
/// What is left of that when another is made.
const RENEW: Duration = Duration::from_secs(60 * 60);
/// Tokens that are kept before those that have run out, or else all, are thrown away.
const KEPT: usize = 64;

/// The application server's key, and whom to ask about its pushes.
pub struct Vapid {
    key: SigningKey,
    public_key: String,
    subject: String,
    /// What each push service was last told, and until when that is good enough.
    tokens: Mutex<HashMap<String, (String, SystemTime)>>,
}

/// Makes up a private key, as [`Vapid::new`] takes it.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn make_key() -> Result<String, getrandom::Error> {
    Ok(BASE64.encode(SigningKey::try_generate()?.to_bytes()))
}

/// Why pushes cannot be signed like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VapidError {
    /// The key is none.
    #[error("a VAPID key is 32 bytes in base64url, as `npx web-push generate-vapid-keys` makes it")]
    Key,
    /// The subject is neither `mailto:` nor `https:`.
    #[error("a VAPID subject is mailto: and an address, or https: and a page, to reach who runs this server")]
    Subject,
}

impl Vapid {
    /// Signs with a private key, the 32 bytes of its scalar in base64url, in the name of a subject: `mailto:` or
    /// `https:`.
    ///
    /// # Errors
    /// [`VapidError`] says which of the two is wrong.
    pub fn new(key: &str, subject: &str) -> Result<Self, VapidError> {
        let key = read_key(key).ok_or(VapidError::Key)?;
        if !is_subject(subject) {
            return Err(VapidError::Subject);
        }
        let public_key = BASE64.encode(key.verifying_key().to_sec1_point(false));
        Ok(Self { key, public_key, subject: subject.to_owned(), tokens: Mutex::default() })
    }

    /// What browsers subscribe with: the uncompressed point, 65 bytes, in base64url.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// What a push to this endpoint has as its `Authorization`.
    pub(crate) fn authorization(&self, endpoint: &Url, now: SystemTime) -> String {
        let token = self.token(endpoint.origin().ascii_serialization(), now);
        format!("vapid t={token}, k={}", self.public_key)
    }

    /// The token for a push service: the one that it had before while that is good enough.
    fn token(&self, audience: String, now: SystemTime) -> String {
        // No code can panic while it holds this lock, so a poisoned one is as good as any.
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until)) = tokens.get(&audience)
            && now < *until
        {
            return token.clone();
        }
        let token = self.sign(&audience, now);
        if tokens.len() >= KEPT {
            tokens.retain(|_, (_, until)| now < *until);
        }
        if tokens.len() >= KEPT {
            tokens.clear();
        }
        tokens.insert(audience, (token.clone(), now + (TTL - RENEW)));
        token
    }

    /// A JSON Web Token with ES256 (RFC 7515, RFC 7518).
    fn sign(&self, audience: &str, now: SystemTime) -> String {
        let exp = (now + TTL).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256"});
        let claims = json!({"aud": audience, "exp": exp, "sub": self.subject});
        let [header, claims] = [header, claims].map(|part| BASE64.encode(part.to_string()));
        let said = format!("{header}.{claims}");
        let signature: Signature = self.key.sign(said.as_bytes());
        format!("{said}.{}", BASE64.encode(signature.to_bytes()))
    }
}

/// A scalar of P-256, all 32 bytes of it.
fn read_key(text: &str) -> Option<SigningKey> {
    let bytes: [u8; 32] = BASE64.decode(text.trim_end_matches('=')).ok()?.try_into().ok()?;
    SigningKey::from_slice(&bytes).ok()
}

impl fmt::Debug for Vapid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vapid").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

/// A way to reach somebody (RFC 8292, section 2.1).
fn is_subject(subject: &str) -> bool {
    match subject.split_once(':') {
        Some(("mailto", address)) => {
            address.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        }
        Some(("https", _)) => Url::parse(subject).is_ok_and(|url| url.has_host()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{VerifyingKey, signature::Verifier as _};
    use serde_json::Value;

    use super::*;

    /// The example of RFC 8291.
    const KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const PUBLIC: &str =
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

    fn vapid() -> Vapid {
        Vapid::new(KEY, "mailto:push@chat.example").unwrap()
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn token(vapid: &Vapid, endpoint: &str, now: SystemTime) -> String {
        let authorization = vapid.authorization(&endpoint.parse().unwrap(), now);
        let (token, key) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, PUBLIC);
        token.to_owned()
    }

    fn claims(token: &str) -> Value {
        let parts: Vec<&str> = token.split('.').collect();
        serde_json::from_slice(&BASE64.decode(parts[1]).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_for_whom_until_when_and_from_whom() {
        let token = token(&vapid(), "https://push.example:443/a/capability?b", now());
        assert_eq!(
            claims(&token),
            json!({
                "aud": "https://push.example",
                "exp": 1_700_000_000 + 12 * 60 * 60,
                "sub": "mailto:push@chat.example",
            })
        );
        let (said, signature) = token.rsplit_once('.').unwrap();
        let key = VerifyingKey::from_sec1_bytes(&BASE64.decode(PUBLIC).unwrap()).unwrap();
        let signature = Signature::from_slice(&BASE64.decode(signature).unwrap()).unwrap();
        key.verify(said.as_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_push_service_has_the_same_token_until_it_is_renewed_in_time() {
        let vapid = vapid();
        let first = token(&vapid, "https://push.example/a", now());
        let soon = now() + Duration::from_secs(11 * 60 * 60 - 1);
        assert_eq!(token(&vapid, "https://push.example/b", soon), first);
        assert_ne!(token(&vapid, "https://push.example:8443/b", soon), first, "one for each origin");
        let late = now() + Duration::from_secs(11 * 60 * 60);
        let renewed = token(&vapid, "https://push.example/a", late);
        assert_eq!(claims(&renewed)["exp"], 1_700_000_000 + 23 * 60 * 60);
    }

    #[test]
    fn however_many_push_services_there_are_few_tokens_are_kept() {
        let vapid = vapid();
        for i in 0..1_000 {
            token(&vapid, &format!("https://{i}.push.example/"), now());
        }
        assert!(vapid.tokens.lock().unwrap().len() <= KEPT);
    }

    #[test]
    fn keys_and_subjects_are_read_strictly() {
        assert!(Vapid::new(&format!("{KEY}="), "https://chat.example").is_ok());
        let zero = BASE64.encode([0; 32]);
        let above_the_order = BASE64.encode([255; 32]);
        for key in ["", "guess", PUBLIC, &KEY[1..], &zero, &above_the_order] {
            assert_eq!(Vapid::new(key, "mailto:a@b.example").err(), Some(VapidError::Key), "{key}");
        }
        for subject in
            ["", "a@b.example", "mailto:", "mailto:a", "mailto:@b", "http://chat.example", "https:"]
        {
            assert_eq!(Vapid::new(KEY, subject).err(), Some(VapidError::Subject), "{subject}");
        }
    }
}
