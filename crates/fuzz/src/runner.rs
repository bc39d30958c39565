//! Hands a decoder its inputs, one after the other, and counts what becomes of them.

use std::{
    cell::RefCell,
    fmt,
    ops::Range,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use bytes::Bytes;

use crate::{decoders::Decoder, memory::Peak};

/// What became of a decoder's inputs.
#[derive(Debug, Default)]
pub struct Report {
    /// All of them.
    pub cases: u64,
    /// Those that were read. The others were refused, or something went wrong.
    pub read: u64,
    /// Those at which something panicked.
    pub panics: u64,
    /// Those that took more memory than the bound.
    pub bombs: u64,
    /// The most that any took.
    pub peak: Peak,
    /// The first ones that went wrong.
    pub failures: Vec<Failure>,
}

/// An input at which a decoder did what it may not.
#[derive(Debug)]
pub struct Failure {
    decoder: &'static str,
    seed: u64,
    input: Bytes,
    what: String,
}

/// Failures that are kept to be told.
const TOLD: usize = 3;
/// Bytes of an input that are told. The seed brings back all of them.
const SHOWN: usize = 4_096;

impl Report {
    /// Those that were refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.cases - self.read - self.panics
    }

    /// This and another of the same decoder.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.cases += other.cases;
        self.read += other.read;
        self.panics += other.panics;
        self.bombs += other.bombs;
        self.peak = self.peak.max(other.peak);
        self.failures.extend(other.failures);
        self.failures.truncate(TOLD);
        self
    }

    fn fail(&mut self, failure: Failure) {
        if self.failures.len() < TOLD {
            self.failures.push(failure);
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decoder, seed, input, what } = self;
        writeln!(f, "{decoder}: {what}")?;
        writeln!(f, "  again: cargo xtask fuzz --decoder {decoder} --seed {seed} --cases 1")?;
        write!(f, "  {} bytes: ", input.len())?;
        input.iter().take(SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if input.len() > SHOWN { write!(f, "…") } else { Ok(()) }
    }
}

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics from being printed: they are told in the report.
pub fn quiet_panics() {
    panic::set_hook(Box::new(|info| {
        PANIC.with_borrow_mut(|panic| *panic = Some(info.to_string().replace('\n', " ")));
    }));
}

/// Hands a decoder the inputs of these seeds. `progress` counts them as they are done.
#[must_use]
pub fn run(decoder: &Decoder, seeds: Range<u64>, progress: &AtomicU64) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        report.cases += 1;
        let input = decoder.input(seed);
        let failed = |what| Failure { decoder: decoder.name, seed, input: input.clone(), what };
        match panic::catch_unwind(AssertUnwindSafe(|| decoder.read(input.clone()))) {
            Ok((read, peak)) => {
                report.read += u64::from(read);
                report.peak = report.peak.max(peak);
                if peak.largest > decoder.bound() {
                    report.bombs += 1;
                    report.fail(failed(format!("allocated {} bytes at a time", peak.largest)));
                }
            }
            Err(_) => {
                report.panics += 1;
                let panic = PANIC.with_borrow_mut(Option::take);
                report.fail(failed(panic.unwrap_or_else(|| "panicked".to_owned())));
            }
        }
        if report.cases.is_multiple_of(1_024) {
            progress.fetch_add(1_024, Relaxed);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, memory::Counting};

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// Panics at what begins with 1, takes too much for what begins with 2, refuses what begins with 3.
    const FAULTY: Decoder = Decoder {
        name: "faulty",
        limit: 512,
        valid: |rng: &mut Rng| vec![rng.below(4) as u8; 40],
        read: |bytes, meter| match bytes.first() {
            Some(1) => panic!("at one"),
            Some(2) => meter.of(|| Vec::<u8>::with_capacity(1_025).is_empty()),
            Some(3) => meter.of(|| Vec::<u8>::with_capacity(1_024).len() > 1),
            _ => true,
        },
    };

    #[test]
    fn faults_are_told_and_the_run_goes_on() {
        const CASES: u64 = 1_000;
        let report = run(&FAULTY, 0..CASES, &AtomicU64::new(0));
        assert_eq!(report.cases, CASES);
        for count in [report.panics, report.bombs, report.refused()] {
            assert!((100..400).contains(&count), "{report:?}");
        }
        assert_eq!(report.read + report.refused() + report.panics, CASES);
        assert_eq!(report.peak.largest, 1_025);
        for failure in &report.failures {
            let again = run(&FAULTY, failure.seed..failure.seed + 1, &AtomicU64::new(0));
            assert_eq!(again.panics + again.bombs, 1, "{failure}");
            assert_eq!(again.failures[0].input, failure.input);
        }
        assert_eq!(report.failures.len(), TOLD);
    }
}
