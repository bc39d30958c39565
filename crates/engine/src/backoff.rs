//! How long to wait before trying again.

use tutti_protocol::limits;

use crate::entropy::Entropy;

/// Waits that grow by half, with jitter of ± 50 %, so that clients of a restarted server come back
/// spread out.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait, in milliseconds.
    pub(crate) fn next(&mut self, entropy: &mut Entropy) -> u64 {
        let mut wait = limits::RECONNECT_FIRST;
        for _ in 0..self.attempts {
            wait = (wait + wait / 2).min(limits::RECONNECT_MAX);
        }
        self.attempts = self.attempts.saturating_add(1).min(32);
        wait / 2 + entropy.next_u64() % (wait + 1)
    }

    /// It worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_with_jitter() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..200).map(|_| backoff.next(&mut entropy)).collect();
        assert!((500..=1_500).contains(&waits[0]), "{}", waits[0]);
        assert!(waits[20..].iter().all(|wait| (30_000..=90_000).contains(wait)));
        assert!(waits[20..].iter().max() > waits[20..].iter().min().map(|least| least + 20_000).as_ref());
        backoff.reset();
        assert!(backoff.next(&mut entropy) <= 1_500);
    }
}
