//! User tokens: JSON Web Tokens (RFC 7519) signed with HMAC SHA-256, good for one account.

mod hs256;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tutti_protocol::{Millis, conversation::is_name};

use crate::clock::now;

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
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// As it is sent.
    pub text: String,
    /// When it stops to work.
    pub expires_at: Millis,
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

    /// A token for an account that works for so many seconds.
    ///
    /// # Errors
    /// When it cannot be encoded, which does not happen to accounts with a proper name.
    pub(crate) fn issue(
        &self,
        account: &str,
        now: Millis,
        ttl_seconds: u64,
    ) -> Result<Token, jsonwebtoken::errors::Error> {
        let claims = Claims { sub: account.to_owned(), exp: (now.0 / 1_000).saturating_add(ttl_seconds) };
        Ok(Token {
            text: jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)?,
            expires_at: Millis(claims.exp.saturating_mul(1_000)),
        })
    }

    /// The account that a token is for, if it is one of ours and has not expired.
    #[must_use]
    pub(crate) fn account(&self, token: &str) -> Option<String> {
        jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)
            .ok()
            .map(|token| token.claims)
            .filter(|claims| claims.exp.saturating_mul(1_000) > now().0)
            .map(|claims| claims.sub)
            .filter(|account| is_name(account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    #[test]
    fn a_token_is_good_for_its_account_until_it_expires() {
        let tokens = Tokens::new("a secret of some length");
        let token = tokens.issue("alice", now(), 60).unwrap();
        assert_eq!(tokens.account(&token.text).as_deref(), Some("alice"));
        let expired = tokens.issue("alice", Millis(now().0 - 10_000), 5).unwrap();
        assert_eq!(tokens.account(&expired.text), None);
    }

    #[test]
    fn tokens_of_others_are_not_believed() {
        let tokens = Tokens::new("a secret of some length");
        let forged = Tokens::new("another secret").issue("alice", now(), 60).unwrap();
        assert_eq!(tokens.account(&forged.text), None);
        // The header {"alg":"none"}, the payload of a good token, no signature.
        let good = tokens.issue("alice", now(), 60).unwrap().text;
        let payload = good.split('.').nth(1).unwrap();
        assert_eq!(tokens.account(&format!("eyJhbGciOiJub25lIn0.{payload}.")), None);
        let truncated = &good[..good.len() - 1];
        for wrong in ["", "..", "nonsense", truncated] {
            assert_eq!(tokens.account(wrong), None, "{wrong}");
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
