//! Which push services may be called. A subscription's endpoint is an address that a client makes up, and the server
//! calls it: without this list anybody could have it call what only it can reach.

use std::{fmt, str::FromStr};

use url::{Host, Origin, Url};

/// What is listed unless the operator lists others: Chrome and its kin, Firefox, Edge, Safari.
pub(super) const DEFAULT: [&str; 4] =
    ["fcm.googleapis.com", "*.push.services.mozilla.com", "*.notify.windows.com", "*.push.apple.com"];

/// The port of https.
const HTTPS: u16 = 443;

/// A push service that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A host, over https and at a public address.
    Host(String),
    /// All hosts below a name, in the same way.
    Below(String),
    /// One of the operator's own: over plain http, too, and at any address and port.
    Own(Origin),
}

/// What is neither a host, nor hosts below a name, nor an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host (push.example), all hosts below one (*.push.example), or an origin (https://push.example:8443)"
)]
pub struct BadService;

impl FromStr for Service {
    type Err = BadService;

    fn from_str(text: &str) -> Result<Self, BadService> {
        if text.contains("://") {
            return origin(text).map(Self::Own).ok_or(BadService);
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        match Host::parse(name) {
            Ok(Host::Domain(name)) if name.contains('*') || name.starts_with('.') => Err(BadService),
            Ok(Host::Domain(name)) if below => Ok(Self::Below(name)),
            Ok(Host::Domain(name)) => Ok(Self::Host(name)),
            _ => Err(BadService),
        }
    }
}

/// An origin that says nothing else besides.
fn origin(text: &str) -> Option<Origin> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_bare.then(|| url.origin())
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Own(origin) => f.write_str(&origin.ascii_serialization()),
        }
    }
}

impl Service {
    fn has(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => host == name,
            Self::Below(name) => {
                let label = host.strip_suffix(name).and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty())
            }
            Self::Own(_) => false,
        }
    }
}

/// The push services that may be called.
#[derive(Clone, Debug)]
pub struct Services(Vec<Service>);

/// How a push service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// At public addresses alone.
    Public,
    /// Wherever the operator's own service is.
    Own,
}

/// Why a push service is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Neither https nor one of the operator's own.
    #[error("not https")]
    Plain,
    /// A port of https is 443.
    #[error("port {0} instead of 443")]
    Port(u16),
    /// An address instead of a name.
    #[error("an address instead of a host's name")]
    Address,
    /// Nobody has listed it.
    #[error("{0} is no push service that this server calls")]
    Unlisted(String),
}

impl Services {
    /// These.
    #[must_use]
    pub fn new(listed: Vec<Service>) -> Self {
        Self(listed)
    }

    /// How to reach an endpoint.
    ///
    /// # Errors
    /// [`NotAllowed`] says why this server does not.
    pub(crate) fn way(&self, endpoint: &Url) -> Result<Way, NotAllowed> {
        let origin = endpoint.origin();
        if self.0.iter().any(|service| matches!(service, Service::Own(own) if *own == origin)) {
            return Ok(Way::Own);
        }
        if endpoint.scheme() != "https" {
            return Err(NotAllowed::Plain);
        }
        if let Some(port) = endpoint.port().filter(|port| *port != HTTPS) {
            return Err(NotAllowed::Port(port));
        }
        match endpoint.host() {
            Some(Host::Domain(host)) if self.0.iter().any(|service| service.has(host)) => Ok(Way::Public),
            Some(Host::Domain(host)) => Err(NotAllowed::Unlisted(host.to_owned())),
            _ => Err(NotAllowed::Address),
        }
    }
}

impl Default for Services {
    fn default() -> Self {
        Self(DEFAULT.iter().filter_map(|service| service.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(services: &Services, endpoint: &str) -> Result<Way, NotAllowed> {
        services.way(&endpoint.parse().unwrap())
    }

    #[test]
    fn the_browsers_push_services_are_listed() {
        let services = Services::default();
        assert_eq!(services.0.len(), DEFAULT.len());
        for endpoint in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://FCM.GoogleApis.com:443/wp/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://autopush.prod.push.services.mozilla.com/abc",
            "https://wns2-par02p.notify.windows.com/w/?token=abc",
            "https://web.push.apple.com/abc",
        ] {
            assert_eq!(way(&services, endpoint), Ok(Way::Public), "{endpoint}");
        }
    }

    #[test]
    fn no_trick_of_an_address_gets_past_the_list() {
        let unlisted = |host: &str| NotAllowed::Unlisted(host.to_owned());
        for (endpoint, expected) in [
            ("http://fcm.googleapis.com/abc", NotAllowed::Plain),
            ("ftp://fcm.googleapis.com/abc", NotAllowed::Plain),
            ("https://fcm.googleapis.com:8443/abc", NotAllowed::Port(8443)),
            ("https://fcm.googleapis.com:80/abc", NotAllowed::Port(80)),
            ("https://127.0.0.1/", NotAllowed::Address),
            ("https://127.0.0.1./", NotAllowed::Address),
            ("https://127.1/", NotAllowed::Address),
            ("https://2130706433/", NotAllowed::Address),
            ("https://0x7f000001/", NotAllowed::Address),
            ("https://0177.0.0.1/", NotAllowed::Address),
            ("https://0X7F.1/", NotAllowed::Address),
            ("https://0/", NotAllowed::Address),
            ("https://１２７.0.0.1/", NotAllowed::Address),
            ("https://%31%32%37.0.0.1/", NotAllowed::Address),
            ("https://169.254.169.254/latest/meta-data/", NotAllowed::Address),
            ("https://93.184.216.34/", NotAllowed::Address),
            ("https://[::1]/", NotAllowed::Address),
            ("https://[::ffff:127.0.0.1]/", NotAllowed::Address),
            ("https://[::ffff:7f00:1]/", NotAllowed::Address),
            ("https://[2001:4860:4802::5]/", NotAllowed::Address),
            ("https://localhost/", unlisted("localhost")),
            ("https://push.apple.com/", unlisted("push.apple.com")),
            ("https://.push.apple.com/", unlisted(".push.apple.com")),
            ("https://evilpush.apple.com/", unlisted("evilpush.apple.com")),
            ("https://fcm.googleapis.com./", unlisted("fcm.googleapis.com.")),
            ("https://web.push.apple.com./", unlisted("web.push.apple.com.")),
            ("https://fcm.googleapis.com.evil.example/", unlisted("fcm.googleapis.com.evil.example")),
            ("https://a.fcm.googleapis.com/", unlisted("a.fcm.googleapis.com")),
            ("https://fcm.googleapis.com@evil.example/", unlisted("evil.example")),
            ("https://evil.example\\@fcm.googleapis.com/", unlisted("evil.example")),
            ("https://evil.example#@fcm.googleapis.com/", unlisted("evil.example")),
            ("https://evil.example?@fcm.googleapis.com/", unlisted("evil.example")),
            ("https:evil.example/fcm.googleapis.com", unlisted("evil.example")),
            (
                "https://fcm\u{3002}googleapis\u{3002}com.evil.example/",
                unlisted("fcm.googleapis.com.evil.example"),
            ),
        ] {
            assert_eq!(way(&Services::default(), endpoint), Err(expected), "{endpoint}");
        }
    }

    #[test]
    fn an_origin_of_the_operators_own_is_that_origin_alone() {
        let services = Services::new(vec!["http://127.0.0.1:1234".parse().unwrap()]);
        assert_eq!(way(&services, "http://127.0.0.1:1234/a?b"), Ok(Way::Own));
        assert_eq!(way(&services, "http://2130706433:1234/"), Ok(Way::Own), "another way to write it");
        for other in [
            "https://127.0.0.1:1234/",
            "http://127.0.0.1/",
            "http://127.0.0.1:12345/",
            "http://localhost:1234/",
            "http://127.0.0.2:1234/",
            "http://[::1]:1234/",
            "https://fcm.googleapis.com/",
        ] {
            assert!(way(&services, other).is_err(), "{other}");
        }
    }

    #[test]
    fn what_is_listed_is_read_strictly() {
        for (text, shown) in [
            ("Push.Example", "push.example"),
            ("*.push.example", "*.push.example"),
            ("https://push.example:443/", "https://push.example"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<Service>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "*",
            "*.",
            "*.*.example",
            "push.*.example",
            ".push.example",
            "127.0.0.1",
            "[::1]",
            "push.example:443",
            "push.example/",
            "https://push.example/a",
            "https://user@push.example",
            "ftp://push.example",
            "https://",
        ] {
            assert_eq!(wrong.parse::<Service>(), Err(BadService), "{wrong}");
        }
    }
}
