//! What the operator says about pushes.

use clap::Args;

use super::services::{DEFAULT, Service};

/// Web Push: with whose key, and to which push services.
#[derive(Clone, Debug, Args)]
pub struct PushSettings {
    /// Private key of Web Push (VAPID), as `npx web-push generate-vapid-keys` prints it; without one nothing is pushed
    #[arg(long, env = "TUTTI_VAPID_KEY", hide_env_values = true, value_name = "KEY")]
    pub vapid_key: Option<String>,

    /// Whom push services ask about this server's pushes: mailto: or https:
    #[arg(long, env = "TUTTI_VAPID_SUBJECT", value_name = "URI")]
    pub vapid_subject: Option<String>,

    /// Push service that may be called: a host, all below one (*.push.example), or an origin of one's own
    /// (http://127.0.0.1:1234), alone not bound to https and public addresses; repeatable
    #[arg(long = "push-service", env = "TUTTI_PUSH_SERVICES", value_delimiter = ',', value_name = "SERVICE",
          default_values = DEFAULT)]
    pub services: Vec<Service>,
}
