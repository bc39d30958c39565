//! Sealing: compressed, then AES-256-GCM through WebCrypto under a key that scripts cannot read.
//!
//! A sealed record is a random 96-bit nonce and what AES-GCM makes of a flag byte and the content.
//! The additional data ties it to its place: the format, the profile, the table and the key.

use js_sys::{Array, ArrayBuffer, Reflect, Uint8Array};
use lz4_flex::block;
use tutti_engine::batch::{Key, StoreError, Table};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AesGcmParams, Crypto, CryptoKey, SubtleCrypto};

use crate::error::describe;

const FORMAT: u8 = 1;
const ALGORITHM: &str = "AES-GCM";
const NONCE_LEN: u32 = 12;

const STORED: u8 = 0;
const LZ4: u8 = 1;

/// More than any record holds. A length above it is refused before anything is allocated for it.
const MAX_CONTENT: usize = 1 << 20;

/// What an account's database, lock and channel are called, so that none of them shows its name:
/// 32 hexadecimal digits.
///
/// # Errors
/// [`StoreError::Failed`] on a page that is no secure context: browsers offer no cryptography there.
pub async fn profile_name(account: &str) -> Result<String, StoreError> {
    digest(&format!("tutti:{account}")).await
}

/// The first half of a text's SHA-256: 32 hexadecimal digits.
///
/// # Errors
/// As [`profile_name`].
pub async fn digest(text: &str) -> Result<String, StoreError> {
    let subtle = subtle(&crypto()?)?;
    let digest = subtle.digest_with_str_and_u8_array("SHA-256", text.as_bytes()).map_err(failed)?;
    let digest = JsFuture::from(digest).await.map_err(failed)?;
    Ok(Uint8Array::new(&digest).to_vec()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A name that nothing else has: 32 hexadecimal digits.
pub(super) fn random_name() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    crypto()?.get_random_values_with_u8_array(&mut bytes).map_err(failed)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A new key, usable by the pages of this origin and readable by none.
pub(super) async fn generate_key() -> Result<CryptoKey, StoreError> {
    let algorithm = js_sys::Object::new();
    // Setting a field of a fresh object cannot fail.
    let _ = Reflect::set(&algorithm, &"name".into(), &ALGORITHM.into());
    let _ = Reflect::set(&algorithm, &"length".into(), &256.into());
    let usages = Array::of2(&"encrypt".into(), &"decrypt".into());
    let key = subtle(&crypto()?)?.generate_key_with_object(&algorithm, false, &usages).map_err(failed)?;
    Ok(JsFuture::from(key).await.map_err(failed)?.unchecked_into())
}

/// Seals and opens the records of one profile.
#[derive(Debug)]
pub(super) struct Sealer {
    crypto: Crypto,
    subtle: SubtleCrypto,
    key: CryptoKey,
    profile: String,
}

impl Sealer {
    pub(super) fn new(profile: &str, key: CryptoKey) -> Result<Self, StoreError> {
        let crypto = crypto()?;
        let subtle = subtle(&crypto)?;
        Ok(Self { crypto, subtle, key, profile: profile.into() })
    }

    /// Seals a record. The work begins at once, so that many records are sealed side by side.
    pub(super) fn seal(
        &self,
        table: Table,
        key: Key,
        content: &[u8],
    ) -> impl Future<Output = Result<Uint8Array, StoreError>> + use<> {
        let nonce = Uint8Array::new_with_length(NONCE_LEN);
        let begun = self.crypto.get_random_values_with_js_u8_array(&nonce).and_then(|_| {
            let parameters = self.parameters(table, key, &nonce);
            self.subtle.encrypt_with_object_and_u8_array(&parameters, &self.key, &pack(content))
        });
        let begun = begun.map(JsFuture::from);
        async move {
            let ciphertext = begun.map_err(failed)?.await.map_err(failed)?;
            let ciphertext = Uint8Array::new(&ciphertext);
            let sealed = Uint8Array::new_with_length(NONCE_LEN + ciphertext.length());
            sealed.set(&nonce, 0);
            sealed.set(&ciphertext, NONCE_LEN);
            Ok(sealed)
        }
    }

    /// Opens what [`Sealer::seal`] made. The work begins at once.
    pub(super) fn open(
        &self,
        table: Table,
        key: Key,
        sealed: JsValue,
    ) -> impl Future<Output = Result<Vec<u8>, StoreError>> + use<> {
        let begun = sealed.dyn_into::<Uint8Array>().and_then(|sealed| {
            let nonce = sealed.subarray(0, NONCE_LEN);
            let ciphertext = sealed.subarray(NONCE_LEN, sealed.length());
            let parameters = self.parameters(table, key, &nonce);
            self.subtle.decrypt_with_object_and_js_u8_array(&parameters, &self.key, &ciphertext)
        });
        let begun = begun.map(JsFuture::from);
        async move {
            let damaged = || StoreError::Damaged(format!("{table:?} {key:?}"));
            let packed = begun.map_err(|_| damaged())?.await.map_err(|_| damaged())?;
            let packed = Uint8Array::new(packed.unchecked_ref::<ArrayBuffer>()).to_vec();
            unpack(&packed).ok_or_else(damaged)
        }
    }

    fn parameters(&self, table: Table, key: Key, nonce: &Uint8Array) -> AesGcmParams {
        let mut place = vec![FORMAT];
        place.extend_from_slice(self.profile.as_bytes());
        place.push(table_number(table));
        match key {
            Key::Number(number) => {
                place.push(0);
                place.extend_from_slice(&number.to_be_bytes());
            }
            Key::Operation(id) => {
                place.push(1);
                place.extend_from_slice(id.as_bytes());
            }
        }
        let parameters = AesGcmParams::new_with_u8_array(ALGORITHM, nonce);
        parameters.set_additional_data_u8_array(&Uint8Array::from(&place[..]));
        parameters
    }
}

/// Part of what is sealed: these never change.
fn table_number(table: Table) -> u8 {
    match table {
        Table::Meta => 0,
        Table::Journal => 1,
        Table::Blocks => 2,
        Table::Heads => 3,
        Table::Locators => 4,
        Table::Outbox => 5,
    }
}

/// Compressed where that makes it smaller: what is sealed no longer can be.
fn pack(content: &[u8]) -> Vec<u8> {
    let head = 1 + size_of::<u32>();
    let mut packed = vec![0; head + block::get_maximum_output_size(content.len())];
    match block::compress_into(content, &mut packed[head..]) {
        Ok(len) if head + len < 1 + content.len() => {
            packed.truncate(head + len);
            packed[0] = LZ4;
            packed[1..head].copy_from_slice(&(content.len() as u32).to_le_bytes());
        }
        _ => {
            packed.clear();
            packed.push(STORED);
            packed.extend_from_slice(content);
        }
    }
    packed
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (&STORED, content) => Some(content.to_vec()),
        (&LZ4, compressed) => {
            let (len, compressed) = block::uncompressed_size(compressed).ok()?;
            if len > MAX_CONTENT {
                return None;
            }
            block::decompress(compressed, len).ok().filter(|content| content.len() == len)
        }
        _ => None,
    }
}

/// Of a window or of a worker.
fn crypto() -> Result<Crypto, StoreError> {
    Reflect::get(&js_sys::global(), &"crypto".into())
        .ok()
        .and_then(|crypto| crypto.dyn_into().ok())
        .ok_or_else(|| StoreError::Failed("this browser has no cryptography".into()))
}

fn subtle(crypto: &Crypto) -> Result<SubtleCrypto, StoreError> {
    Reflect::get(crypto, &"subtle".into())
        .ok()
        .and_then(|subtle| subtle.dyn_into().ok())
        .ok_or_else(|| StoreError::Failed("cryptography needs a secure page: https, or localhost".into()))
}

fn failed(thrown: JsValue) -> StoreError {
    StoreError::Failed(describe(&thrown))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::*;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn packing_gives_back_what_it_took() {
        for content in [&b""[..], b"a", b"incompressible?", &[7; 60_000], "ähnlich ".repeat(900).as_bytes()]
        {
            assert_eq!(unpack(&pack(content)).as_deref(), Some(content));
        }
        assert!(pack(&[7; 60_000]).len() < 1_000);
        assert_eq!(pack(b"abc").len(), 4);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn nonsense_does_not_unpack_and_asks_for_no_memory() {
        assert_eq!(unpack(b""), None);
        assert_eq!(unpack(&[9, 1, 2, 3]), None);
        assert_eq!(unpack(&[LZ4]), None);
        assert_eq!(unpack(&[LZ4, 0xff, 0xff, 0xff, 0xff, 0]), None);
        let good = pack(&[7; 500]);
        for cut in 1..good.len() {
            assert_eq!(unpack(&good[..cut]), None, "cut at {cut}");
        }
        for at in 1..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            // Any answer but a panic: what is sealed cannot be changed, this is the second wall.
            let _ = unpack(&bad);
        }
    }
}
