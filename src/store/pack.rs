//! Compression of records, before they are sealed: what is sealed no longer can be. A flag byte comes first.

use lz4_flex::block;

const STORED: u8 = 0;
const LZ4: u8 = 1;

/// More than any record holds. A length above it is refused before anything is allocated for it.
const MAX_CONTENT: usize = 1 << 20;

/// Compressed where that makes it smaller.
pub(super) fn pack(content: &[u8]) -> Vec<u8> {
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

/// None: nothing was packed to this.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
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
