//! What is pushed, sealed so that only the browser can read it: `aes128gcm` (RFC 8188) under a key that is agreed
//! anew for each push (RFC 8291).
//!
//! The push service sees sizes, so a payload is padded to one of few: see [`SIZES`].

use bytes::Bytes;
use hkdf::Hkdf;
use p256::{
    SecretKey,
    elliptic_curve::{Generate as _, sec1::ToSec1Point as _},
};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use super::subscription::{POINT, Subscription};

/// What a push's body may be at most: no push service has to take more (RFC 8030, section 7.2).
const BODY: usize = 4_096;
/// Sizes that the bodies of pushes have, in bytes.
pub const SIZES: [usize; 4] = [512, 1_024, 2_048, BODY];
const SALT: usize = 16;
/// Salt, record size, length of the key, the key (RFC 8188, section 2.1).
const HEADER: usize = SALT + 4 + 1 + POINT;
const TAG: usize = 16;
/// All but the payload and its padding: the two have a byte between them.
const OVERHEAD: usize = HEADER + 1 + TAG;
/// Longest payload, in bytes.
pub const MAX_PAYLOAD: usize = BODY - OVERHEAD;
/// There is but one record, the last (RFC 8188, section 2).
const LAST_RECORD: u8 = 2;

/// What is pushed. `Debug` shows its length alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// A payload that is too long to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload of {0} bytes cannot be pushed: {MAX_PAYLOAD} are the most")]
pub struct PayloadTooLarge(pub usize);

impl Payload {
    /// These bytes, at most [`MAX_PAYLOAD`] of them.
    ///
    /// # Errors
    /// [`PayloadTooLarge`] says how many they are.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, PayloadTooLarge> {
        let bytes = bytes.into();
        if bytes.len() > MAX_PAYLOAD { Err(PayloadTooLarge(bytes.len())) } else { Ok(Self(bytes)) }
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// The system has no randomness, or the cipher failed.
#[derive(Debug, thiserror::Error)]
#[error("a push cannot be sealed")]
pub(crate) struct SealError;

/// Seals a payload for a subscription: the body of a push.
pub(crate) fn seal(payload: &Payload, to: &Subscription) -> Result<Vec<u8>, SealError> {
    let own = SecretKey::try_generate().map_err(|_| SealError)?;
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|_| SealError)?;
    let padded = payload.0.len() + OVERHEAD;
    let size = SIZES.into_iter().find(|size| *size >= padded).ok_or(SealError)?;
    seal_with(&own, salt, payload, to, size)
}

/// Seals under a key and a salt, which are never used twice, into a body of so many bytes.
fn seal_with(
    own: &SecretKey,
    salt: [u8; SALT],
    payload: &Payload,
    to: &Subscription,
    size: usize,
) -> Result<Vec<u8>, SealError> {
    let public = own.public_key().to_sec1_point(false);
    let (key, nonce) = derive(own, public.as_bytes(), salt, to)?;
    let mut record = payload.0.to_vec();
    record.push(LAST_RECORD);
    record.resize(size.saturating_sub(HEADER + TAG), 0);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).map_err(|_| SealError)?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| SealError)?;

    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(&salt);
    body.extend_from_slice(&(BODY as u32).to_be_bytes());
    body.push(POINT as u8);
    body.extend_from_slice(public.as_bytes());
    body.append(&mut record);
    Ok(body)
}

/// The key and the nonce of the one record (RFC 8291, section 3.4).
fn derive(
    own: &SecretKey,
    public: &[u8],
    salt: [u8; SALT],
    to: &Subscription,
) -> Result<([u8; 16], [u8; NONCE_LEN]), SealError> {
    let agreed = own.diffie_hellman(to.p256dh());
    let theirs = to.p256dh().to_sec1_point(false);
    let info = [b"WebPush: info\0", theirs.as_bytes(), public].concat();
    let secret: [u8; 32] = expand(to.auth(), agreed.raw_secret_bytes(), &info)?;
    let key = expand(&salt, &secret, b"Content-Encoding: aes128gcm\0")?;
    let nonce = expand(&salt, &secret, b"Content-Encoding: nonce\0")?;
    Ok((key, nonce))
}

/// HKDF with SHA-256 (RFC 5869).
fn expand<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<[u8; N], SealError> {
    let mut derived = [0; N];
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, &mut derived).map_err(|_| SealError)?;
    Ok(derived)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};

    use super::*;
    use crate::push::Services;

    fn subscription() -> Subscription {
        Subscription::new(
            "https://fcm.googleapis.com/wp/a",
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
            &Services::default(),
        )
        .unwrap()
    }

    /// RFC 8291, section 5 and appendix A.
    #[test]
    fn the_example_of_the_standard_is_sealed_as_it_is_there() {
        let own = BASE64.decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let own = SecretKey::from_slice(&own).unwrap();
        let salt = BASE64.decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let payload = Payload::new("When I grow up, I want to be a watermelon").unwrap();
        let size = payload.0.len() + OVERHEAD;
        let body = seal_with(&own, salt, &payload, &subscription(), size).unwrap();
        assert_eq!(
            BASE64.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8w\
             EqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn the_length_of_a_payload_shows_in_steps_alone() {
        let size = |length: usize| {
            let payload = Payload::new(vec![7; length]).unwrap();
            seal(&payload, &subscription()).unwrap().len()
        };
        for (length, expected) in
            [(0, 512), (409, 512), (410, 1_024), (921, 1_024), (922, 2_048), (1_946, 4_096), (3_993, 4_096)]
        {
            assert_eq!(size(length), expected, "{length}");
        }
        assert_eq!(MAX_PAYLOAD, 3_993);
        assert_eq!(Payload::new(vec![7; 3_994]), Err(PayloadTooLarge(3_994)));
    }

    #[test]
    fn no_key_and_no_salt_is_used_twice() {
        let payload = Payload::new("the same").unwrap();
        let [first, second] = [(); 2].map(|()| seal(&payload, &subscription()).unwrap());
        assert_ne!(first[..SALT], second[..SALT]);
        assert_ne!(first[SALT + 5..HEADER], second[SALT + 5..HEADER]);
        assert_eq!(first[SALT..SALT + 5], second[SALT..SALT + 5]);
    }
}
