//! Looks for the highest rate that holds: doubles until one does not, then halves what lies between.

/// When the highest that held is less than this part away from the lowest that did not, it is known well enough.
const CLOSE: f64 = 0.1;

/// Which rate to try next.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    next: f64,
    held: Option<f64>,
    failed: Option<f64>,
    done: bool,
}

impl Search {
    /// Begins with this rate.
    pub(crate) fn new(first: f64) -> Self {
        Self { next: first, held: None, failed: None, done: false }
    }

    /// The rate to try; none once it is known.
    pub(crate) fn next(&self) -> Option<f64> {
        (!self.done).then_some(self.next)
    }

    /// Whether the server bore it.
    pub(crate) fn note(&mut self, held: bool) {
        if held {
            self.held = Some(self.next);
        } else {
            self.failed = Some(self.next);
        }
        match (self.held, self.failed) {
            (Some(held), None) => self.next = held * 2.0,
            (None, Some(failed)) if failed >= 2.0 => self.next = failed / 2.0,
            (Some(held), Some(failed)) if failed - held > held * CLOSE => {
                self.next = (held + failed) / 2.0;
            }
            _ => self.done = true,
        }
    }

    /// The highest that held, if any did.
    pub(crate) fn best(&self) -> Option<f64> {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of a server that bears so much, and in how many steps.
    fn found(bears: f64, first: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first);
        let mut steps = 0;
        while let Some(rate) = search.next() {
            search.note(rate <= bears);
            steps += 1;
        }
        (search.best(), steps)
    }

    #[test]
    fn it_comes_within_a_tenth_from_either_side() {
        for bears in [3.0, 90.0, 260.0, 1_234.0, 5_000.0] {
            let (best, steps) = found(bears, 250.0);
            let best = best.unwrap();
            assert!(best <= bears && bears <= best * 1.1, "{best} of {bears}");
            assert!(steps <= 15, "{steps} steps for {bears}");
        }
    }

    #[test]
    fn a_server_that_bears_nothing_ends_it_too() {
        assert_eq!(found(0.0, 250.0).0, None);
    }
}
