//! Which web pages may connect. Browsers say where a page came from (RFC 6454); others say nothing.

use axum::http::{HeaderMap, header};

/// What is listed for programs that are no browsers and give no Origin.
const NONE: &str = "none";

/// Which web pages may connect.
#[derive(Clone, Debug)]
pub(crate) enum Origins {
    /// Pages from the server's own host, and from this machine.
    Own,
    /// Pages from these origins.
    Listed(Vec<String>),
}

impl Origins {
    /// The listed ones; the default when none is listed.
    #[must_use]
    pub(crate) fn new(listed: &[String]) -> Self {
        if listed.is_empty() {
            return Self::Own;
        }
        let normal = |origin: &String| origin.trim_end_matches('/').to_ascii_lowercase();
        Self::Listed(listed.iter().map(normal).collect())
    }

    /// Whether a request with these headers may connect. Without an Origin it comes from no browser, and so not
    /// from a page that someone was lured to; where origins are listed, such programs have to be, too.
    #[must_use]
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::ORIGIN).iter();
        let Some(origin) = given.next() else {
            return match self {
                Self::Own => true,
                Self::Listed(listed) => listed.iter().any(|listed| listed == NONE),
            };
        };
        let (Ok(origin), None) = (origin.to_str(), given.next()) else {
            return false;
        };
        let origin = origin.to_ascii_lowercase();
        match self {
            Self::Listed(listed) => listed.contains(&origin),
            Self::Own => {
                let Some(("http" | "https", authority)) = origin.split_once("://") else {
                    return false;
                };
                is_loopback(authority) || host(headers).is_some_and(|host| host == authority)
            }
        }
    }
}

/// Whether a request was addressed to this machine by a name that means nothing else. A page of a
/// foreign name that was pointed at this machine afterwards gives that name.
#[must_use]
pub(crate) fn is_addressed_locally(headers: &HeaderMap) -> bool {
    host(headers).is_some_and(|host| is_loopback(&host))
}

fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(host.to_ascii_lowercase())
}

fn is_loopback(authority: &str) -> bool {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str, origins: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(header::ORIGIN, origin.parse().unwrap());
        }
        headers
    }

    #[test]
    fn by_default_own_pages_and_local_ones_may_connect() {
        let own = Origins::new(&[]);
        for origin in [
            "https://chat.example",
            "http://localhost:5173",
            "http://127.0.0.1",
            "http://[::1]:80",
            "https://LOCALHOST",
        ] {
            assert!(own.allow(&headers("chat.example", &[origin])), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "https://chat.example.evil.example",
            "https://chat.example:8443",
            "https://localhost.evil.example",
            "https://localhost:80@evil.example",
            "file://localhost",
        ] {
            assert!(!own.allow(&headers("chat.example", &[origin])), "{origin}");
        }
        assert!(own.allow(&headers("chat.example", &[])));
        let two = ["https://chat.example", "https://evil.example"];
        assert!(!own.allow(&headers("chat.example", &two)));
    }

    #[test]
    fn a_list_is_all_there_is() {
        let listed = Origins::new(&["https://Chat.example/".to_owned()]);
        assert!(listed.allow(&headers("sync.example", &["https://chat.example"])));
        assert!(!listed.allow(&headers("sync.example", &["https://sync.example"])));
        assert!(!listed.allow(&headers("localhost", &["http://localhost"])));
        assert!(!listed.allow(&headers("sync.example", &[])));
        assert!(!listed.allow(&headers("sync.example", &["none"])));
        let programs_too = Origins::new(&["https://chat.example".to_owned(), "none".to_owned()]);
        assert!(programs_too.allow(&headers("sync.example", &[])));
    }

    #[test]
    fn a_foreign_name_for_this_machine_is_not_local() {
        assert!(is_addressed_locally(&headers("localhost:8787", &[])));
        assert!(is_addressed_locally(&headers("[::1]", &[])));
        assert!(!is_addressed_locally(&headers("rebound.example:8787", &[])));
    }
}
