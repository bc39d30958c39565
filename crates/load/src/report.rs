//! What was measured, for people and for programs.

use std::{fmt, fs, io, path::Path};

use serde::Serialize;

use crate::latency::Summary;

/// What a scenario has measured. Times in milliseconds, sizes in bytes; what could not be seen is none.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "scenario", rename_all = "lowercase")]
pub enum Row {
    /// So many operations a second were offered.
    Sustained {
        /// Operations a second.
        rate: f64,
        /// How many that were in all.
        sent: u64,
        /// How many of them came too late to be waited for.
        missing: u64,
        /// Until the sender saw that it was confirmed.
        confirmed: Summary,
        /// Until the other had it.
        arrived: Summary,
        /// Whether that is within what was asked for.
        holds: bool,
        /// Processors that the server kept busy,
        server: Option<f64>,
        /// PostgreSQL,
        database: Option<f64>,
        /// and the clients.
        clients: f64,
        /// Bytes that were written to the disk for each.
        written: Option<f64>,
    },
    /// The highest rate that held.
    Best {
        /// Operations a second, if any held.
        rate: Option<f64>,
    },
    /// So many clients are connected, and nothing happens.
    Memory {
        /// How many.
        connections: u32,
        /// What the server occupies.
        memory: Option<u64>,
        /// By how much that is more than without connections, for each of them.
        each: Option<f64>,
        /// Thousandths of a processor that the server keeps busy.
        busy: Option<f64>,
    },
    /// Messages to a group of so many.
    Fanout {
        /// Members.
        members: u32,
        /// Until the last member had it.
        last: Summary,
        /// What each took of the server's time,
        server: Option<f64>,
        /// and of PostgreSQL's.
        database: Option<f64>,
        /// Rows that each has added.
        rows: Option<f64>,
    },
    /// The server ended, and was started again at once.
    Storm {
        /// How.
        end: &'static str,
        /// Clients that were connected.
        clients: u32,
        /// Until it listened again.
        down: f64,
        /// Until half of them were back and had all,
        half: f64,
        /// 99 of 100,
        most: f64,
        /// and all.
        all: f64,
        /// Messages that were written meanwhile, and how often they arrived.
        written: u64,
        /// Messages that arrived.
        arrived: u64,
    },
    /// What a message has added.
    Disk {
        /// To this table or index, or by this way.
        part: String,
        /// Bytes, or how often.
        each: f64,
    },
}

/// All rows of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    storage: &'static str,
    rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(storage: &'static str) -> Self {
        Self { storage, rows: Vec::new() }
    }

    /// Says what begins.
    pub(crate) fn title(&self, what: fmt::Arguments<'_>) {
        println!("\n{what} · {}", self.storage);
    }

    /// Prints a row and keeps it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("{row}");
        self.rows.push(row);
    }

    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        fs::write(file, serde_json::to_vec_pretty(self)?)
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Says how far something is, beside the rows.
pub(crate) fn progress(what: fmt::Arguments<'_>) {
    eprintln!("  … {what}");
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sustained {
                rate,
                missing,
                confirmed,
                arrived,
                holds,
                server,
                database,
                clients,
                written,
                ..
            } => {
                write!(f, "  {rate:>6.0}/s  confirmed {confirmed}  arrived {arrived}")?;
                write!(f, "  busy: server {}", Seen(*server, 2))?;
                if database.is_some() {
                    write!(f, ", PostgreSQL {}", Seen(*database, 2))?;
                }
                write!(f, ", clients {clients:.2}; {} B written each", Seen(*written, 0))?;
                match (missing, holds) {
                    (0, true) => Ok(()),
                    (0, false) => write!(f, "  too slow"),
                    (missing, _) => write!(f, "  {missing} did not come"),
                }
            }
            Self::Best { rate: Some(rate) } => write!(f, "  holds {rate:.0}/s"),
            Self::Best { rate: None } => write!(f, "  none of these rates holds"),
            Self::Memory { connections, memory, each, busy } => {
                let memory = memory.map(|bytes| bytes as f64 / 1_048_576.0);
                write!(f, "  {connections:>6} connections  {} MiB", Seen(memory, 1))?;
                write!(f, "  {} B each", Seen(*each, 0))?;
                write!(f, "  {} ‰ of a processor", Seen(*busy, 1))
            }
            Self::Fanout { members, last, server, database, rows } => {
                write!(f, "  {members:>4} members  last has it after {last}")?;
                write!(f, "  server {} ms", Seen(*server, 2))?;
                if database.is_some() {
                    write!(f, ", PostgreSQL {} ms", Seen(*database, 2))?;
                }
                write!(f, "  {} rows", Seen(*rows, 1))
            }
            Self::Storm { end, clients, down, half, most, all, written, arrived } => {
                let seconds = |ms: &f64| ms / 1_000.0;
                write!(f, "  {end:<8} {clients} clients  listens after {:.2} s", seconds(down))?;
                write!(f, "  back: 50 % {:.2} s, 99 % {:.2} s", seconds(half), seconds(most))?;
                write!(f, ", all {:.2} s", seconds(all))?;
                write!(f, "  {written} messages written meanwhile, {arrived} arrived")
            }
            Self::Disk { part, each } => write!(f, "  {part:<28}{each:>9.2}"),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.1} p99 {:.1} max {:.1} ms", self.p50, self.p99, self.max)
    }
}

/// A number that may not be known, with so many digits.
struct Seen(Option<f64>, usize);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "{number:.*}", self.1),
            None => f.write_str("?"),
        }
    }
}
