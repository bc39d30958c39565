//! What a process has used, as Linux tells it: memory, time and bytes written.

use std::{fs, io, time::Duration};

use nix::{
    sys::time::TimeValLike as _,
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

/// What processes have used since they began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Of all processors.
    pub(crate) time: Duration,
    /// What they have caused to be written to disks, in bytes.
    pub(crate) written: u64,
}

impl Usage {
    /// What was used since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            time: self.time.saturating_sub(before.time),
            written: self.written.saturating_sub(before.written),
        }
    }
}

impl Process {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// This one.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// The bytes of memory that it occupies.
    pub(crate) fn memory(self) -> io::Result<u64> {
        let status = self.read("status")?;
        field(&status, "VmRSS:").map(|kib| kib * 1_024).ok_or(io::ErrorKind::InvalidData.into())
    }

    /// What it has used.
    pub(crate) fn usage(self) -> io::Result<Usage> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.0.cast_signed()))?;
        let time = clock_gettime(clock)?.num_nanoseconds();
        // Only its owner may read it; without it nothing is known to have been written.
        let written = self.read("io").ok().and_then(|io| field(&io, "write_bytes:"));
        Ok(Usage {
            time: Duration::from_nanos(time.try_into().unwrap_or_default()),
            written: written.unwrap_or_default(),
        })
    }

    /// What it and its children have used.
    pub(crate) fn usage_with_children(self) -> io::Result<Usage> {
        let children = self.read(&format!("task/{}/children", self.0)).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok()).map(Self);
        let mut sum = self.usage()?;
        // One that has just ended is missed.
        for usage in children.filter_map(|child| child.usage().ok()) {
            sum.time += usage.time;
            sum.written += usage.written;
        }
        Ok(sum)
    }

    fn read(self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0))
    }
}

/// The number after a name, in a file of lines that have both.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let status = "Name:\ttutti-server\nVmHWM:\t   90000 kB\nVmRSS:\t   12345 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(12_345));
        assert_eq!(field(status, "VmSwap:"), None);
        assert_eq!(field(status, "Name:"), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let before = Process::own().usage().unwrap();
        let mut sum = 0_u64;
        while Process::own().usage().unwrap().since(before).time < Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(Process::own().memory().unwrap() > 1_000_000);
        assert!(Process::new(0).memory().is_err());
    }
}
