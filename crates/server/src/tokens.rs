//! User tokens: JSON Web Tokens (RFC 7519) signed with HMAC SHA-256, good for one account, and perhaps for one of
//! its devices alone.

mod hs256;

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tutti_acceptance::devices::{self, TokenMark};
use tutti_protocol::{DeviceId, Millis, conversation::is_name};

use crate::clock::now;

/// Longest time for which a client is told that its token is good, in milliseconds: a year.
const TTL_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;
/// How long is slept at most until a token expires: clocks are set, and machines are suspended.
const NAP: Duration = Duration::from_secs(60);
/// How long a connection outlives its token, in milliseconds, so that one that stood still for a moment is not cut for
/// that (RFC 7519, section 4.1.4).
const LEEWAY: u64 = 3_000;

/// Makes user tokens and reads them.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// The account.
    sub: String,
    /// Seconds since the Unix epoch.
    exp: u64,
    /// The only device that it works for, as UUID text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dev: Option<String>,
    /// Makes it another one than any other. Nobody has to understand what others write there.
    #[serde(skip_deserializing)]
    jti: String,
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// As it is sent.
    pub text: String,
    /// When it stops to work.
    pub expires_at: Millis,
}

/// Why a token cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// It cannot be encoded, which does not happen to accounts with a proper name.
    #[error(transparent)]
    Encoding(#[from] jsonwebtoken::errors::Error),
    /// The system has no randomness.
    #[error(transparent)]
    Entropy(#[from] getrandom::Error),
}

/// A token with our signature. It may have expired, or have been revoked.
#[derive(Clone, Debug)]
pub(crate) struct UserToken {
    /// Whose it is.
    pub account: String,
    /// The only device that it works for; none: it works for any.
    pub device: Option<String>,
    /// What is remembered of it.
    pub is: devices::Token,
}

impl UserToken {
    /// Whether its time is over.
    #[must_use]
    pub(crate) fn has_expired(&self) -> bool {
        self.is.expires_at <= now()
    }

    /// For how many milliseconds it is still good, as clients are told: at least one, at most a year.
    #[must_use]
    pub(crate) fn ttl(&self) -> u64 {
        self.is.expires_at.0.saturating_sub(now().0).clamp(1, TTL_MAX)
    }

    /// Whether it works for a device with this id.
    #[must_use]
    pub(crate) fn is_for(&self, device: &str) -> bool {
        self.device.as_ref().is_none_or(|only| only == device)
    }

    /// Whether its time has been over for so long that it is no good for a connection that stands either.
    #[must_use]
    pub(crate) fn has_lapsed(&self) -> bool {
        self.is.expires_at.plus(LEEWAY) <= now()
    }

    /// Waits until then.
    pub(crate) async fn lapsed(&self) {
        while !self.has_lapsed() {
            let left = self.is.expires_at.plus(LEEWAY).0.saturating_sub(now().0);
            sleep(Duration::from_millis(left.max(1)).min(NAP)).await;
        }
    }
}

impl Tokens {
    /// Tokens signed with a secret.
    #[must_use]
    pub(crate) fn new(secret: &str) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["sub", "exp"]);
        // By the server's own clock, as it is issued.
        validation.validate_exp = false;
        Self {
            signing: EncodingKey::from_secret(secret.as_bytes()),
            verifying: DecodingKey::from_secret(secret.as_bytes()),
            validation,
        }
    }

    /// A token for an account that works for so many seconds, and perhaps for one device alone.
    ///
    /// # Errors
    /// [`IssueError`] when it cannot be made.
    pub(crate) fn issue(
        &self,
        account: &str,
        device: Option<DeviceId>,
        now: Millis,
        ttl_seconds: u64,
    ) -> Result<Token, IssueError> {
        let mut entropy = [0; 16];
        getrandom::fill(&mut entropy)?;
        let claims = Claims {
            sub: account.to_owned(),
            // Not sooner than it was asked for.
            exp: now.0.div_ceil(1_000).saturating_add(ttl_seconds),
            dev: device.map(|device| device.to_string()),
            jti: entropy.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Ok(Token {
            text: jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)?,
            expires_at: Millis(claims.exp.saturating_mul(1_000)),
        })
    }

    /// What a token says, if it is one of ours.
    #[must_use]
    pub(crate) fn read(&self, text: &str) -> Option<UserToken> {
        let claims = jsonwebtoken::decode::<Claims>(text, &self.verifying, &self.validation).ok()?.claims;
        let expires_at = Millis(claims.exp.saturating_mul(1_000));
        // As ids are written here, whoever wrote it.
        let device = claims.dev.map(|id| id.parse::<DeviceId>().map_or(id, |id| id.to_string()));
        is_name(&claims.sub).then_some(UserToken {
            account: claims.sub,
            device,
            is: devices::Token { mark: TokenMark::of(text), expires_at },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    const SECRET: &str = "a secret of some length";

    /// The account of a token that is good now.
    fn account(tokens: &Tokens, text: &str) -> Option<String> {
        tokens.read(text).filter(|token| !token.has_expired()).map(|token| token.account)
    }

    #[test]
    fn a_token_is_good_for_its_account_until_it_expires() {
        let tokens = Tokens::new(SECRET);
        let token = tokens.issue("alice", None, now(), 60).unwrap();
        assert_eq!(account(&tokens, &token.text).as_deref(), Some("alice"));
        let expired = tokens.issue("alice", None, Millis(now().0 - 10_000), 5).unwrap();
        assert_eq!(account(&tokens, &expired.text), None);
        assert_eq!(tokens.read(&expired.text).unwrap().account, "alice", "but it says whose it was");
    }

    #[test]
    fn no_token_is_like_another() {
        let tokens = Tokens::new(SECRET);
        let [a, b] = [(); 2].map(|()| tokens.issue("alice", None, Millis(0), 60).unwrap().text);
        assert_ne!(a, b);
        assert_ne!(tokens.read(&a).unwrap().is, tokens.read(&b).unwrap().is);
    }

    #[test]
    fn a_token_may_be_for_one_device_alone() {
        let tokens = Tokens::new(SECRET);
        let [own, other] = [1, 2].map(|number| DeviceId::from([number; 16]));
        let bound = tokens.issue("alice", Some(own), now(), 60).unwrap();
        let bound = tokens.read(&bound.text).unwrap();
        assert!(bound.is_for(&own.to_string()) && !bound.is_for(&other.to_string()));
        let free = tokens.read(&tokens.issue("alice", None, now(), 60).unwrap().text).unwrap();
        assert!(free.is_for(&own.to_string()) && free.is_for(&other.to_string()));
    }

    #[test]
    fn the_tokens_of_back_ends_are_read_whatever_else_they_say() {
        let tokens = Tokens::new(SECRET);
        let made = |claims: serde_json::Value| {
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
        };
        let device = DeviceId::from([0xab; 16]);
        let upper = device.to_string().to_uppercase();
        let read = |claims| tokens.read(&made(claims));
        let lasting = read(serde_json::json!({"sub": "alice", "exp": u64::MAX, "jti": 7})).unwrap();
        assert!(!lasting.has_expired());
        assert_eq!(lasting.ttl(), TTL_MAX);
        let bound = read(serde_json::json!({"sub": "alice", "exp": 1, "dev": upper, "iss": "x"})).unwrap();
        assert!(bound.has_expired() && bound.is_for(&device.to_string()));
        assert_eq!(bound.ttl(), 1);
        let odd = read(serde_json::json!({"sub": "alice", "exp": 1, "dev": ""})).unwrap();
        assert!(!odd.is_for(&device.to_string()), "it works for none");
        assert!(read(serde_json::json!({"sub": "alice", "exp": 1, "dev": 7})).is_none());
        assert!(read(serde_json::json!({"sub": "", "exp": 1})).is_none());
        assert!(read(serde_json::json!({"sub": "alice"})).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_token_to_lapse_waits_no_longer() {
        let tokens = Tokens::new(SECRET);
        let over = tokens.read(&tokens.issue("alice", None, Millis(0), 1).unwrap().text).unwrap();
        over.lapsed().await;
    }

    #[test]
    fn tokens_of_others_are_not_believed() {
        let tokens = Tokens::new(SECRET);
        let forged = Tokens::new("another secret").issue("alice", None, now(), 60).unwrap();
        assert!(tokens.read(&forged.text).is_none());
        // The header {"alg":"none"}, the payload of a good token, no signature.
        let good = tokens.issue("alice", None, now(), 60).unwrap().text;
        let payload = good.split('.').nth(1).unwrap();
        assert!(tokens.read(&format!("eyJhbGciOiJub25lIn0.{payload}.")).is_none());
        let truncated = &good[..good.len() - 1];
        for wrong in ["", "..", "nonsense", truncated] {
            assert!(tokens.read(wrong).is_none(), "{wrong}");
        }
    }

    /// RFC 7515, appendix A.1: another implementation's signature with a known key.
    #[test]
    fn signatures_are_hmac_sha256() {
        let key = [
            3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84,
            201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180,
            195, 119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
        ];
        hs256::install();
        let message = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEz\
                       MDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(&key), Algorithm::HS256);
        assert_eq!(signature.unwrap(), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }
}
