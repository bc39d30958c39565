//! How the server is started.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use clap::Parser;
use tutti_acceptance::storage::MasterKeys;

use crate::{
    limits::Limits,
    push::{PushSettings, Services, Vapid, VapidError, WebPush, make_key},
    site::Site,
    tls::{Tls, TlsError},
};

/// Keeps every device of a web chat in step.
#[derive(Clone, Debug, Parser)]
#[command(name = "tutti-server", version, about)]
pub struct Config {
    /// Where to listen
    #[arg(long, env = "TUTTI_LISTEN", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,

    /// Directory that holds the database; made if need be
    #[arg(long, env = "TUTTI_DATA", default_value = "data")]
    pub data: PathBuf,

    /// PostgreSQL database to keep everything in, postgres://USER:PASSWORD@HOST/DATABASE, in a schema of its own, tutti
    /// [default: a SQLite file in the data directory]
    #[arg(long, env = "TUTTI_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,

    /// Redis through which several servers on one PostgreSQL database know of each other's connections,
    /// redis://HOST or rediss://USER:PASSWORD@HOST/NUMBER [default: this server is the only one]
    #[arg(
        long,
        env = "TUTTI_REDIS_URL",
        hide_env_values = true,
        value_name = "URL",
        requires = "database_url"
    )]
    pub redis_url: Option<String>,

    /// Key that authenticates the application's back end
    #[arg(long, env = "TUTTI_SERVER_KEY", hide_env_values = true)]
    pub server_key: Option<String>,

    /// Secret that user tokens are signed with
    #[arg(long, env = "TUTTI_TOKEN_SECRET", hide_env_values = true)]
    pub token_secret: Option<String>,

    /// Key that the database is sealed under: without it nobody can read what accounts have stored, nor can you
    #[arg(long, env = "TUTTI_MASTER_KEY", hide_env_values = true)]
    pub master_key: Option<String>,

    /// Master key from before, to change it: at the start all is put under the present one, and this one is not needed
    /// any more; repeatable
    #[arg(
        long = "old-master-key",
        env = "TUTTI_OLD_MASTER_KEYS",
        hide_env_values = true,
        value_delimiter = ',',
        value_name = "MASTER_KEY"
    )]
    pub old_master_keys: Vec<String>,

    /// Origin that web pages may connect from, or "none" for programs that give none; repeatable
    /// [default: the server's own and localhost, and such programs]
    #[arg(long = "allow-origin", env = "TUTTI_ALLOW_ORIGIN", value_delimiter = ',', value_name = "ORIGIN")]
    pub allow_origins: Vec<String>,

    /// Certificate to encrypt connections with, and all that lead to it (PEM); read again on SIGHUP
    #[arg(long, env = "TUTTI_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key of the certificate (PEM)
    #[arg(long, env = "TUTTI_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// A proxy in front encrypts: what it passes on says so (X-Forwarded-Proto: https), all else from
    /// other machines is refused
    #[arg(long, env = "TUTTI_BEHIND_PROXY", conflicts_with = "tls_cert")]
    pub behind_proxy: bool,

    /// Directory of a web page to serve
    #[arg(long, env = "TUTTI_WWW", value_name = "DIR")]
    pub www: Option<PathBuf>,

    /// Content-Security-Policy of that page; empty for none [default: what is on this server alone]
    #[arg(long, env = "TUTTI_CSP", value_name = "POLICY", requires = "www")]
    pub csp: Option<String>,

    /// For development, on loopback only: makes up missing keys, keeps them in the data directory,
    /// and gives user tokens to anyone who asks from this machine
    #[arg(long, env = "TUTTI_DEV")]
    pub dev: bool,

    /// What an account and a connection may do
    #[command(flatten)]
    pub limits: Limits,

    /// With whose key it is pushed, and where
    #[command(flatten)]
    pub push: PushSettings,

    /// Milliseconds that an account may be without a connection before others are told that it is offline
    #[arg(long, env = "TUTTI_PRESENCE_GRACE", default_value_t = PRESENCE_GRACE,
          value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub presence_grace: u64,

    /// The database was put back to an earlier state: gives its log another name, so that devices notice and take a new copy
    /// instead of going on where they were, and ends. To be done once, before any server serves from it again
    #[arg(long)]
    pub restored: bool,

    /// Seconds that the clock of this server is off, to try what days do; only with --dev
    #[arg(
        long,
        env = "TUTTI_CLOCK_OFFSET",
        default_value_t = 0,
        requires = "dev",
        allow_negative_numbers = true
    )]
    pub clock_offset: i64,
}

/// A page that is loaded anew is back by then.
const PRESENCE_GRACE: u64 = 2_000;

/// Whom push services ask in development: nobody.
const DEVELOPER: &str = "mailto:developer@example.com";

/// The secrets of a server.
#[derive(Clone)]
pub struct Keys {
    /// Authenticates the application's back end.
    pub server: String,
    /// Signs user tokens.
    pub token: String,
    /// What the database is sealed under.
    pub master: MasterKeys,
}

/// How connections are kept from being listened to.
#[derive(Clone, Debug)]
pub enum Transport {
    /// They never leave this machine.
    Local,
    /// This server encrypts them.
    Tls(Tls),
    /// A proxy in front encrypts them.
    Proxy,
}

/// Why the server cannot start like this.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `--dev` on an address that others can reach.
    #[error("--dev gives user tokens to anyone, so it only listens on loopback, not on {0}")]
    DevInPublic(SocketAddr),
    /// Others could listen.
    #[error(
        "connections to {0} come from other machines and must be encrypted: give a certificate as --tls-cert \
         and --tls-key, or --behind-proxy if a proxy in front of this server encrypts"
    )]
    Plain(SocketAddr),
    /// The page's policy is not one line of plain text.
    #[error("--csp is not a value that a header can have")]
    Policy,
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A key is missing.
    #[error(
        "{flag} is missing. Make a key with `openssl rand -hex 32` and give it as {flag} or {env}; \
         to try the server on this machine, --dev makes up what is missing"
    )]
    NoKey {
        /// The flag that gives it.
        flag: &'static str,
        /// The variable that gives it.
        env: &'static str,
    },
    /// A key that could be guessed.
    #[error("{0} is shorter than {MIN_KEY} characters; make a key with `openssl rand -hex 32`")]
    ShortKey(&'static str),
    /// Pushes cannot be signed like this.
    #[error("--vapid-key, --vapid-subject: {0}")]
    Vapid(#[from] VapidError),
    /// Nobody to ask about pushes.
    #[error(
        "--vapid-subject is missing: give mailto: and an address, or https: and a page, at which push services \
         reach who runs this server"
    )]
    NoSubject,
    /// There is no TLS to reach push services with.
    #[error("cannot encrypt connections to push services: {0}")]
    PushTls(#[from] rustls::Error),
    /// A master key that could not be given as an old one later.
    #[error("--master-key has a comma in it, which is what separates old master keys; make one without")]
    Comma,
    /// A key file cannot be read or written.
    #[error("cannot keep a key in {0}: {1}")]
    KeyFile(PathBuf, #[source] io::Error),
    /// The system has no randomness.
    #[error("cannot make up a key: {0}")]
    Entropy(#[from] getrandom::Error),
}

/// Shortest key, in characters.
const MIN_KEY: usize = 16;

impl Config {
    /// The keys that were given, or in development those made up for this data directory.
    ///
    /// # Errors
    /// [`ConfigError`] says what is missing and how to make it.
    pub fn keys(&self) -> Result<Keys, ConfigError> {
        if self.dev && !self.listen.ip().is_loopback() {
            return Err(ConfigError::DevInPublic(self.listen));
        }
        let key = |given: &Option<String>, flag, env, file| {
            let key = match given {
                Some(key) => key.clone(),
                None if self.dev => kept_key(&self.data.join(file), random_key)?,
                None => return Err(ConfigError::NoKey { flag, env }),
            };
            long_enough(key, flag)
        };
        let server = key(&self.server_key, "--server-key", "TUTTI_SERVER_KEY", "server.key")?;
        let token = key(&self.token_secret, "--token-secret", "TUTTI_TOKEN_SECRET", "token.secret")?;
        let master = key(&self.master_key, "--master-key", "TUTTI_MASTER_KEY", "master.key")?;
        Ok(Keys { server, token, master: self.master_keys(&master)? })
    }

    /// This master key, and those before it.
    fn master_keys(&self, present: &str) -> Result<MasterKeys, ConfigError> {
        if present.contains(',') {
            return Err(ConfigError::Comma);
        }
        // A variable that is set to nothing gives none.
        let mut old = self.old_master_keys.iter().filter(|key| !key.is_empty());
        old.try_fold(MasterKeys::new(present), |keys, old| {
            Ok(keys.with_old(&long_enough(old.clone(), "--old-master-key")?))
        })
    }

    /// Web Push with the key that was given, or in development with one made up for this data directory. Without one
    /// it is off.
    ///
    /// # Errors
    /// [`ConfigError`] when the key is none, or nobody is named.
    pub(crate) fn web_push(&self) -> Result<WebPush, ConfigError> {
        let PushSettings { vapid_key, vapid_subject, services } = &self.push;
        let key = match vapid_key {
            Some(key) => key.clone(),
            None if self.dev => kept_key(&self.data.join("vapid.key"), make_key)?,
            None => return Ok(WebPush::off()),
        };
        let subject = match vapid_subject {
            Some(subject) => subject,
            None if self.dev => DEVELOPER,
            None => return Err(ConfigError::NoSubject),
        };
        Ok(WebPush::new(Services::new(services.clone()), Vapid::new(&key, subject)?)?)
    }

    /// The page to serve.
    ///
    /// # Errors
    /// [`ConfigError`] when its policy is none.
    pub(crate) fn site(&self) -> Result<Option<Site>, ConfigError> {
        let site = self.www.clone().map(|root| Site::new(root, self.csp.as_deref()));
        site.transpose().map_err(|_| ConfigError::Policy)
    }

    /// How connections are kept from being listened to.
    ///
    /// # Errors
    /// [`ConfigError`] when they are not, or the certificate cannot be used.
    pub fn transport(&self) -> Result<Transport, ConfigError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Ok(Transport::Tls(Tls::read(certificate, key)?)),
            _ if self.behind_proxy => Ok(Transport::Proxy),
            _ if self.listen.ip().is_loopback() => Ok(Transport::Local),
            _ => Err(ConfigError::Plain(self.listen)),
        }
    }
}

fn long_enough(key: String, flag: &'static str) -> Result<String, ConfigError> {
    if key.len() < MIN_KEY { Err(ConfigError::ShortKey(flag)) } else { Ok(key) }
}

/// The key in a file that only its owner can read; made up if there is none.
fn kept_key(
    file: &Path,
    make: impl FnOnce() -> Result<String, getrandom::Error>,
) -> Result<String, ConfigError> {
    let failed = |error| ConfigError::KeyFile(file.to_owned(), error);
    match fs::read_to_string(file) {
        Ok(key) => return Ok(key.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let key = make()?;
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(failed)?;
    writeln!(made, "{key}").map_err(failed)?;
    Ok(key)
}

fn random_key() -> Result<String, getrandom::Error> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    Ok(entropy.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn config(args: &[&str]) -> Config {
        Config::parse_from(["tutti-server"].iter().chain(args))
    }

    #[test]
    fn without_keys_the_refusal_says_how_to_make_them() {
        const LONG: &str = "sixteen characters";
        let all = ["--server-key", "--token-secret", "--master-key"];
        for flag in all {
            let with = |key| all.into_iter().flat_map(move |it| [it, if it == flag { key } else { LONG }]);
            let args: Vec<_> = with("").filter(|arg| *arg != flag && !arg.is_empty()).collect();
            let error = config(&args).keys().err().unwrap().to_string();
            assert!(error.contains("openssl rand -hex 32") && error.contains(flag), "{error}");
            let error = config(&with("guess").collect::<Vec<_>>()).keys().err().unwrap();
            assert!(matches!(error, ConfigError::ShortKey(short) if short == flag), "{error}");
        }
    }

    #[test]
    fn old_master_keys_are_given_one_by_one_or_separated_by_commas() {
        let keys =
            |args: &[&str]| config(&[&["--server-key", LONG, "--token-secret", LONG], args].concat()).keys();
        const LONG: &str = "sixteen characters";
        let old = [
            "--old-master-key",
            "an old key of mine,the one before it",
            "--old-master-key",
            "the first one of all",
        ];
        assert!(keys(&[&["--master-key", LONG], &old[..]].concat()).is_ok());
        assert!(keys(&["--master-key", LONG, "--old-master-key", ""]).is_ok(), "a variable without a value");
        for (args, flag) in [
            (["--master-key", LONG, "--old-master-key", "guess"], "--old-master-key"),
            (["--master-key", "one, and another", "--old-master-key", LONG], "--master-key"),
        ] {
            let error = keys(&args).err().unwrap().to_string();
            assert!(error.starts_with(flag), "{error}");
        }
    }

    #[test]
    fn development_stays_on_loopback() {
        let public = config(&["--listen", "0.0.0.0:8787", "--dev"]);
        assert!(matches!(public.keys(), Err(ConfigError::DevInPublic(_))));
    }

    #[test]
    fn what_leaves_this_machine_is_encrypted() {
        let transport = |args: &[&str]| config(args).transport();
        assert!(matches!(transport(&[]), Ok(Transport::Local)));
        assert!(matches!(transport(&["--listen", "[::1]:0"]), Ok(Transport::Local)));
        let public = ["--listen", "0.0.0.0:8787"];
        let error = transport(&public).unwrap_err().to_string();
        for way in ["--tls-cert", "--tls-key", "--behind-proxy"] {
            assert!(error.contains(way), "{error}");
        }
        let proxied = transport(&[&public[..], &["--behind-proxy"]].concat());
        assert!(matches!(proxied, Ok(Transport::Proxy)));
        let certificate = [&public[..], &["--tls-cert", "no/cert.pem", "--tls-key", "no/key.pem"]].concat();
        let error = transport(&certificate).unwrap_err().to_string();
        assert!(error.contains("no/cert.pem"), "{error}");
    }

    #[test]
    fn it_is_pushed_with_a_key_and_a_subject_alone() {
        let push = |args: &[&str]| config(args).web_push();
        assert!(push(&[]).unwrap().public_key().is_err());
        let key = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
        assert!(matches!(push(&["--vapid-key", key]), Err(ConfigError::NoSubject)));
        let subject = ["--vapid-subject", "mailto:push@chat.example"];
        assert!(push(&[&["--vapid-key", key], &subject[..]].concat()).unwrap().public_key().is_ok());
        let error = push(&[&["--vapid-key", "guess"], &subject[..]].concat()).unwrap_err().to_string();
        assert!(error.contains("npx web-push generate-vapid-keys") && !error.contains("guess"), "{error}");
    }

    #[test]
    fn made_up_keys_are_kept_for_their_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        let config = config(&["--dev", "--data", data.path().to_str().unwrap()]);
        let first = config.keys().unwrap();
        let second = config.keys().unwrap();
        assert_eq!(first.server, second.server);
        assert_ne!(first.server, first.token);
        let pushes = [config.web_push().unwrap(), config.web_push().unwrap()];
        assert_eq!(pushes[0].public_key().unwrap(), pushes[1].public_key().unwrap());
        for file in ["server.key", "token.secret", "master.key", "vapid.key"] {
            let mode = fs::metadata(data.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
