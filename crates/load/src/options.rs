//! What the tool is asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum, value_parser};
use url::Url;

/// Loads a Tutti server with clients, and says what it bears.
///
/// With --server it starts that server in a temporary directory, anew for each scenario. With --url it loads one that
/// runs already: accounts are made up there, and what they write stays.
#[derive(Clone, Debug, Parser)]
#[command(name = "tutti-load", version)]
pub struct Options {
    /// What to measure [default: all that can be measured there]
    #[arg(value_enum)]
    pub scenarios: Vec<Scenario>,

    /// Program of the server to start
    #[arg(long, value_name = "FILE", required_unless_present = "url", conflicts_with = "url")]
    pub server: Option<PathBuf>,

    /// Let the server that is started keep everything in PostgreSQL, which is started for it: it has to be installed
    #[arg(long, requires = "server")]
    pub postgres: bool,

    /// Let the server that is started keep everything in this database; use one that is for this alone
    #[arg(long, requires = "server", conflicts_with = "postgres", value_name = "URL")]
    pub database_url: Option<String>,

    /// Server that runs already, https://HOST
    #[arg(long, requires = "server_key", value_name = "URL")]
    pub url: Option<Url>,

    /// Its server key, to make tokens and groups with
    #[arg(long, env = "TUTTI_SERVER_KEY", hide_env_values = true)]
    pub server_key: Option<String>,

    /// What the names of accounts and groups begin with [default: a new one each time]
    #[arg(long)]
    pub prefix: Option<String>,

    /// Also write all rows to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// What the dice of schedules and choices begin with
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Bytes of a message's content
    #[arg(long, default_value_t = 150, value_parser = value_parser!(u32).range(40..=32_768))]
    pub content: u32,

    /// sustained, disk: accounts that write to each other, each connected
    #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(2..=100_000))]
    pub accounts: u32,

    /// sustained: operations a second to offer, instead of a search
    #[arg(long, value_delimiter = ',', value_name = "RATE,…")]
    pub rates: Vec<f64>,

    /// sustained: operations a second that the search begins with
    #[arg(long, default_value_t = 250.0)]
    pub first_rate: f64,

    /// sustained: seconds that each rate is measured for, after as much as a fifth of that
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u64).range(1..=3_600))]
    pub window: u64,

    /// sustained: milliseconds within which 99 of 100 operations have to be confirmed and to arrive
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(1..=60_000))]
    pub p99: u64,

    /// memory: connections, one step after the other
    #[arg(long, value_delimiter = ',', value_name = "COUNT,…", default_values_t = [1_000, 5_000])]
    pub connections: Vec<u32>,

    /// memory: seconds that they are watched
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u64).range(1..=3_600))]
    pub idle: u64,

    /// fanout: members of groups, up to 500
    #[arg(long, value_delimiter = ',', value_name = "COUNT,…", default_values_t = [1, 10, 100, 500],
          value_parser = value_parser!(u32).range(1..=500))]
    pub groups: Vec<u32>,

    /// fanout: messages to each group
    #[arg(long, default_value_t = 30, value_parser = value_parser!(u32).range(1..=10_000))]
    pub messages: u32,

    /// disk: messages
    #[arg(long, default_value_t = 5_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub written: u32,

    /// storm: clients; one in ten of them writes while the server is away
    #[arg(long, default_value_t = 5_000, value_parser = value_parser!(u32).range(2..=100_000))]
    pub clients: u32,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Operations a second, up to the highest at which users do not wait
    Sustained,
    /// What a connection takes of the server's memory and time while nothing happens
    Memory,
    /// What a message to a group costs, by the number of its members
    Fanout,
    /// How long until all clients are back when the server is killed, and when it is told to stop; with --server alone
    Storm,
    /// What a message takes of the disk, table by table; with --server alone
    Disk,
}

impl Scenario {
    /// As it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sustained => "sustained",
            Self::Memory => "memory",
            Self::Fanout => "fanout",
            Self::Storm => "storm",
            Self::Disk => "disk",
        }
    }

    /// Whether it ends and starts the server, or looks into its database.
    fn needs_own_server(self) -> bool {
        matches!(self, Self::Storm | Self::Disk)
    }
}

impl Options {
    /// What is to be measured, in order.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        if !self.scenarios.is_empty() {
            return self.scenarios.clone();
        }
        let all = Scenario::value_variants().iter().copied();
        all.filter(|scenario| self.server.is_some() || !scenario.needs_own_server()).collect()
    }

    /// The most connections that are open at once.
    pub(crate) fn most_connections(&self) -> usize {
        let of = |scenario| match scenario {
            Scenario::Sustained | Scenario::Disk => self.accounts,
            Scenario::Memory => self.connections.iter().copied().max().unwrap_or_default(),
            Scenario::Fanout => self.groups.iter().copied().max().unwrap_or_default(),
            Scenario::Storm => self.clients,
        };
        self.scenarios().into_iter().map(of).max().unwrap_or_default() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(args: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(["tutti-load"].iter().chain(args))
    }

    #[test]
    fn a_server_that_runs_is_not_killed_unless_asked_for() {
        let own = options(&["--server", "tutti-server"]).unwrap().scenarios();
        assert_eq!(own.len(), 5);
        let deployed = options(&["--url", "https://chat.example", "--server-key", "k"]).unwrap();
        assert_eq!(deployed.scenarios(), [Scenario::Sustained, Scenario::Memory, Scenario::Fanout]);
        assert_eq!(deployed.most_connections(), 5_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let all: [&[&str]; 5] = [
            &[],
            &["--url", "https://chat.example", "--server", "tutti-server"],
            &["--server", "tutti-server", "--groups", "501"],
            &["--server", "tutti-server", "--postgres", "--database-url", "postgres://localhost/x"],
            &["--server", "tutti-server", "everything"],
        ];
        for args in all {
            assert!(options(args).is_err(), "{args:?}");
        }
    }
}
