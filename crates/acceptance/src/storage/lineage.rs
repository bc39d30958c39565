//! What a log is called, and what it was called before its storage was restored from a backup.

use tutti_protocol::{LogId, Millis};

#[cfg(feature = "sql")]
use super::{Result, StorageError};

/// Bytes of a name and a time, as they are stored.
#[cfg(feature = "sql")]
const FORMER: usize = 16 + 8;

/// A log's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// What it is called.
    pub(crate) log: LogId,
    /// What it was called before, the first one first, and when the last operation was accepted that is here of what was
    /// under that name.
    former: Vec<(LogId, Millis)>,
}

impl Lineage {
    /// Of a log that was never called anything else.
    pub(crate) fn new(log: LogId) -> Self {
        Self { log, former: Vec::new() }
    }

    /// As it was stored, with the former names as [`Lineage::former`] gives them.
    ///
    /// # Errors
    /// When they are no such bytes.
    #[cfg(feature = "sql")]
    pub(crate) fn read(log: &[u8], former: &[u8]) -> Result<Self> {
        let log = LogId::try_from(log).map_err(StorageError::new)?;
        let (former, []) = former.as_chunks::<FORMER>() else {
            return Err(StorageError::new("the log's former names are not readable"));
        };
        let named = |bytes: &[u8; FORMER]| {
            let (id, until) = bytes.split_at(16);
            let until = until.try_into().map_err(StorageError::new)?;
            Ok((LogId::try_from(id).map_err(StorageError::new)?, Millis(u64::from_be_bytes(until))))
        };
        Ok(Self { log, former: former.iter().map(named).collect::<Result<_>>()? })
    }

    /// The former names, to be stored.
    #[cfg(feature = "sql")]
    pub(crate) fn former(&self) -> Vec<u8> {
        let bytes = |(log, until): &(LogId, Millis)| [&log.as_bytes()[..], &until.0.to_be_bytes()].concat();
        self.former.iter().flat_map(bytes).collect()
    }

    /// The same log, called something else from now on. `until`: when the last operation was accepted that is in it; 0:
    /// none was.
    pub(crate) fn renamed(&self, log: LogId, until: Millis) -> Self {
        let mut former = self.former.clone();
        // On the wire 0 says that nothing is known.
        former.push((self.log, until.max(Millis(1))));
        Self { log, former }
    }

    /// When the last operation was accepted that is in this log as well as in that one. None: they are the same, or this
    /// one was never restored. A name that is not known was given to it after the backup was made.
    pub(crate) fn common(&self, with: LogId) -> Option<Millis> {
        if with == self.log {
            return None;
        }
        let last = self.former.len().saturating_sub(1);
        let known = self.former.iter().position(|(log, _)| *log == with).unwrap_or(last);
        self.former[known..].iter().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(number: u8) -> LogId {
        LogId::from([number; 16])
    }

    #[test]
    fn a_log_that_was_never_restored_has_nothing_in_common() {
        let lineage = Lineage::new(log(1));
        assert_eq!(lineage.common(log(1)), None);
        assert_eq!(lineage.common(log(2)), None);
    }

    #[test]
    fn what_is_common_ends_where_the_earliest_restore_since_went_back_to() {
        let lineage = Lineage::new(log(1)).renamed(log(2), Millis(50)).renamed(log(3), Millis(20));
        let lineage = lineage.renamed(log(4), Millis(70));
        for (with, until) in [(1, 20), (2, 20), (3, 70)] {
            assert_eq!(lineage.common(log(with)), Some(Millis(until)), "{with}");
        }
        assert_eq!(lineage.common(log(4)), None);
        assert_eq!(lineage.common(log(9)), Some(Millis(70)), "a name from after the last backup");
    }

    #[cfg(feature = "sql")]
    #[test]
    fn it_is_read_as_it_was_stored() {
        let lineage = Lineage::new(log(1)).renamed(log(2), Millis(50)).renamed(log(3), Millis(u64::MAX));
        let stored = lineage.former();
        assert_eq!(Lineage::read(&[3; 16], &stored).unwrap(), lineage);
        assert_eq!(Lineage::read(&[3; 16], &[]).unwrap(), Lineage::new(log(3)));
        assert!(Lineage::read(&[3; 16], &stored[1..]).is_err());
        assert!(Lineage::read(&[3; 15], &stored).is_err());
    }
}
