//! Numbers that no other tab has, from a seed.

/// ChaCha with 8 rounds (RFC 8439 with a counter of 64 bits). The usual crate computes four blocks side by side,
/// which is kilobytes of code for the few numbers that an engine wants.
#[derive(Clone, Debug)]
pub(crate) struct Entropy {
    state: [u32; 16],
    block: [u32; 16],
    used: usize,
}

impl Entropy {
    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        let mut state = [0; 16];
        for (word, bytes) in state.iter_mut().zip(b"expand 32-byte k".chunks(4).chain(seed.chunks(4))) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        }
        Self { state, block: [0; 16], used: 16 }
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.used == self.block.len() {
            self.refill();
        }
        self.used += 1;
        self.block[self.used - 1]
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        u64::from(self.next_u32()) << 32 | low
    }

    pub(crate) fn fill_bytes(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(4) {
            chunk.copy_from_slice(&self.next_u32().to_le_bytes()[..chunk.len()]);
        }
    }

    fn refill(&mut self) {
        self.block = self.state;
        for _ in 0..4 {
            for at in 0..4 {
                self.quarter_round([at, 4 + at, 8 + at, 12 + at]);
            }
            for at in 0..4 {
                self.quarter_round([at, 4 + (at + 1) % 4, 8 + (at + 2) % 4, 12 + (at + 3) % 4]);
            }
        }
        for (word, of) in self.block.iter_mut().zip(self.state) {
            *word = word.wrapping_add(of);
        }
        let (counter, over) = self.state[12].overflowing_add(1);
        self.state[12] = counter;
        self.state[13] = self.state[13].wrapping_add(u32::from(over));
        self.used = 0;
    }

    fn quarter_round(&mut self, [a, b, c, d]: [usize; 4]) {
        for (to, by, turned, turn) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            self.block[to] = self.block[to].wrapping_add(self.block[by]);
            self.block[turned] = (self.block[turned] ^ self.block[to]).rotate_left(turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore as _, SeedableRng as _},
    };

    use super::*;

    #[test]
    fn it_is_chacha_with_eight_rounds() {
        let seed = std::array::from_fn(|at| at as u8 * 7);
        let (mut entropy, mut expected) = (Entropy::from_seed(seed), ChaCha8Rng::from_seed(seed));
        for turn in 0..1_000 {
            match turn % 3 {
                0 => assert_eq!(entropy.next_u32(), expected.next_u32()),
                1 => assert_eq!(entropy.next_u64(), expected.next_u64()),
                _ => {
                    let (mut bytes, mut same) = ([0; 10], [0; 10]);
                    entropy.fill_bytes(&mut bytes);
                    expected.fill_bytes(&mut same);
                    assert_eq!(bytes, same);
                }
            }
        }
    }
}
