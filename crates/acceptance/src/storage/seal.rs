//! How content lies in a database: sealed under a key of the account that it comes from, which lies beside it, wrapped
//! under the server's master key.
//!
//! ```text
//! master key ── HKDF ──► wrapping key of an account ── opens ──► the account's key ── opens ──► its content
//! ```
//! So the master key is changed by wrapping the accounts' keys anew, without a word of content being written, and an
//! account's content is unreadable, wherever copies of it are, once its wrapped key is gone.
//!
//! Both are XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha, RFC 8439) under random nonces of 192 bits. What is sealed
//! begins with its nonce and ends with its tag; the additional data says what it is and whose. HKDF is RFC 5869 with
//! SHA-256.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use tutti_protocol::OperationId;
use zeroize::Zeroizing;

use super::{Result, StorageError};

const FORMAT: &[u8] = b"tutti 1";
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const KEY_LEN: usize = 32;
/// How many accounts' keys are held in memory: so many that were used last, and up to as many others.
const HELD: usize = 4_096;

/// The keys under which accounts' keys are wrapped: the present one, and those before it that may still be in use.
///
/// They want to be long and random, such as `openssl rand -hex 32` makes them: what is derived of them is quickly
/// derived, for whoever guesses too.
#[derive(Clone)]
pub struct MasterKeys {
    pub(super) present: MasterKey,
    pub(super) old: Vec<MasterKey>,
}

impl MasterKeys {
    /// This one alone.
    #[must_use]
    pub fn new(present: &str) -> Self {
        Self { present: MasterKey::new(present), old: Vec::new() }
    }

    /// With one that was in use before. What it wraps is wrapped under the present one when a storage is opened.
    #[must_use]
    pub fn with_old(mut self, old: &str) -> Self {
        self.old.push(MasterKey::new(old));
        self
    }
}

/// A master key, as HKDF has extracted it.
#[derive(Clone)]
pub(super) struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

impl MasterKey {
    fn new(key: &str) -> Self {
        Self(Zeroizing::new(Hkdf::<Sha256>::extract(None, key.as_bytes()).0.into()))
    }

    /// Tells this key from others, and nothing else about it.
    pub(super) fn mark(&self) -> Result<[u8; KEY_LEN]> {
        Ok(*self.derive("the mark of a master key", &[])?)
    }

    /// Opens an account's key.
    pub(super) fn unwrap(&self, account: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let what = What::Key;
        let opened = open(&self.wrapping(account)?, &what.context(account), wrapped);
        opened.map(Zeroizing::new).ok_or_else(|| unopened(what))
    }

    /// Wraps an account's key.
    pub(super) fn wrap(&self, account: &str, key: &[u8]) -> Result<Vec<u8>> {
        seal(&self.wrapping(account)?, &What::Key.context(account), key)
    }

    fn wrapping(&self, account: &str) -> Result<XChaCha20Poly1305> {
        Ok(XChaCha20Poly1305::new((&*self.derive("wraps an account's key", &[account.as_bytes()])?).into()))
    }

    fn derive(&self, purpose: &str, of: &[&[u8]]) -> Result<Zeroizing<[u8; KEY_LEN]>> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let hkdf = Hkdf::<Sha256>::from_prk(&self.0[..]).map_err(StorageError::new)?;
        hkdf.expand(&context(purpose, of), &mut key[..]).map_err(StorageError::new)?;
        Ok(key)
    }
}

/// What is sealed.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// An account's key.
    Key,
    /// The content of the message with this id.
    Message(&'a [u8]),
    /// A field of a target, by their names.
    Field(&'a str, &'a str),
    /// The words of the notification with this id.
    Notification(&'a [u8]),
    /// The digest of the operation with this id. Without the key it would tell who guesses the content that the
    /// guess is right.
    Digest(&'a [u8]),
}

impl What<'_> {
    /// What a seal binds it to: what is sealed opens in its place alone.
    fn context(self, account: &str) -> Vec<u8> {
        let account = account.as_bytes();
        match self {
            Self::Key => context("key", &[account]),
            Self::Message(id) => context("message", &[account, id]),
            Self::Field(target, name) => context("field", &[account, target.as_bytes(), name.as_bytes()]),
            Self::Notification(id) => context("notification", &[account, id]),
            Self::Digest(id) => context("digest", &[account, id]),
        }
    }
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, id) = match self {
            Self::Key => return f.write_str("the key of an account"),
            Self::Field(..) => return f.write_str("a field of a conversation or session"),
            Self::Message(id) => ("the content of message", id),
            Self::Notification(id) => ("the words of notification", id),
            Self::Digest(id) => ("the digest of operation", id),
        };
        match OperationId::try_from(*id) {
            Ok(id) => write!(f, "{what} {id}"),
            Err(_) => write!(f, "{what} {id:02x?}"),
        }
    }
}

/// What seals an account's content, and opens it.
pub(super) struct Seal {
    account: String,
    key: XChaCha20Poly1305,
}

impl Seal {
    /// Seals some content; nothing stays nothing.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn seal(&self, what: What<'_>, content: &[u8]) -> Result<Vec<u8>> {
        if content.is_empty() {
            return Ok(Vec::new());
        }
        seal(&self.key, &what.context(&self.account), content)
    }

    /// Opens what was sealed; nothing stays nothing.
    ///
    /// # Errors
    /// When it is not what was sealed there.
    pub(super) fn open(&self, what: What<'_>, sealed: &[u8]) -> Result<Bytes> {
        if sealed.is_empty() {
            return Ok(Bytes::new());
        }
        let opened = open(&self.key, &what.context(&self.account), sealed);
        opened.map(Bytes::from).ok_or_else(|| unopened(what))
    }
}

/// Has the seals of accounts, the last used ones at hand. Keys are wiped from memory when they are let go of.
pub(super) struct Keyring {
    master: MasterKey,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    recent: HashMap<String, HeldSeal>,
    before: HashMap<String, HeldSeal>,
}

/// A seal counts only for the wrapped key that it comes from: one that was changed or undone is not used any more.
struct HeldSeal {
    wrapped: Vec<u8>,
    seal: Arc<Seal>,
}

impl Keyring {
    /// Of accounts whose keys are wrapped under this key.
    pub(super) fn new(master: MasterKey) -> Self {
        Self { master, held: Mutex::default() }
    }

    /// The seal of an account, from its wrapped key.
    ///
    /// # Errors
    /// When the account has no key, or none that can be opened.
    pub(super) fn seal(&self, account: &str, wrapped: Option<&[u8]>) -> Result<Arc<Seal>> {
        let wrapped =
            wrapped.ok_or_else(|| StorageError::new("an account has no key to open its content"))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = held.find(account, wrapped) {
            return Ok(seal);
        }
        let key = self.master.unwrap(account, wrapped)?;
        let key = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| unopened(What::Key))?;
        let seal = Arc::new(Seal { account: account.to_owned(), key });
        held.keep(wrapped, seal.clone());
        Ok(seal)
    }

    /// Lets go of the seal of an account that has no key any more.
    pub(super) fn forget(&self, account: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.recent.remove(account);
        held.before.remove(account);
    }

    /// Whether the seal of an account is at hand.
    #[cfg(all(test, feature = "sqlite"))]
    pub(super) fn holds(&self, account: &str) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.recent.contains_key(account) || held.before.contains_key(account)
    }

    /// A new key for an account, wrapped.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(super) fn mint(&self, account: &str) -> Result<Vec<u8>> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        getrandom::fill(&mut key[..]).map_err(StorageError::new)?;
        self.master.wrap(account, &key[..])
    }
}

impl Held {
    fn find(&mut self, account: &str, wrapped: &[u8]) -> Option<Arc<Seal>> {
        if !self.recent.contains_key(account) {
            let found = self.before.remove(account)?;
            self.keep(&found.wrapped, found.seal);
        }
        let found = self.recent.get(account)?;
        (found.wrapped == wrapped).then(|| found.seal.clone())
    }

    fn keep(&mut self, wrapped: &[u8], seal: Arc<Seal>) {
        if self.recent.len() >= HELD {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(seal.account.clone(), HeldSeal { wrapped: wrapped.to_vec(), seal });
    }
}

fn seal(key: &XChaCha20Poly1305, context: &[u8], content: &[u8]) -> Result<Vec<u8>> {
    let mut sealed = Vec::with_capacity(NONCE_LEN + content.len() + TAG_LEN);
    sealed.resize(NONCE_LEN, 0);
    getrandom::fill(&mut sealed).map_err(StorageError::new)?;
    sealed.extend_from_slice(content);
    let (nonce, text) = sealed.split_at_mut(NONCE_LEN);
    let nonce = XNonce::try_from(&*nonce).map_err(StorageError::new)?;
    let tag = key.encrypt_inout_detached(&nonce, context, text.into()).map_err(StorageError::new)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

fn open(key: &XChaCha20Poly1305, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_LEN)?;
    let (text, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_LEN)?)?;
    let (nonce, tag) = (XNonce::try_from(nonce).ok()?, Tag::try_from(tag).ok()?);
    let mut content = text.to_vec();
    key.decrypt_inout_detached(&nonce, context, content.as_mut_slice().into(), &tag).ok()?;
    Some(content)
}

fn unopened(what: What<'_>) -> StorageError {
    StorageError::new(format!(
        "{what} cannot be opened: it was damaged or moved, or sealed under another key"
    ))
}

/// Names a purpose, and what it is of, so that no two of them have the same name.
fn context(purpose: &str, of: &[&[u8]]) -> Vec<u8> {
    let mut context = Vec::with_capacity(128);
    for part in [&[FORMAT, purpose.as_bytes()], of].concat() {
        context.extend_from_slice(&(part.len() as u64).to_le_bytes());
        context.extend_from_slice(part);
    }
    context
}

#[cfg(test)]
mod tests;
