//! Hands one push to its push service (RFC 8030), once.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::{
    dial::{DialError, Dialler, Internet, Network, web_tls},
    queue::SENDS_PER_SERVICE,
    sealing::{Payload, SealError, seal},
    services::Services,
    subscription::Subscription,
    vapid::Vapid,
};

/// How long a push may take, from the dialling to the end of the answer.
const WHOLE: Duration = Duration::from_secs(15);
/// How much of an answer's body is read, in bytes; it says nothing that is needed, but who reads it can use the
/// connection again.
const ANSWER: usize = 1_024;
/// Longest head of an answer, in bytes.
const HEAD: usize = 16 * 1_024;
/// How long a connection waits for the next push.
const IDLE: Duration = Duration::from_secs(60);

/// Something to push.
#[derive(Clone, Debug)]
pub struct Push {
    /// What only the browser can read.
    pub payload: Payload,
    /// How long it is worth anything: that long the push service keeps it for a browser that is not there. In whole
    /// seconds.
    pub ttl: Duration,
    /// Whether a browser that saves power is woken.
    pub urgency: Urgency,
    /// A later push on the same topic takes the place of one that the push service still has.
    pub topic: Option<Topic>,
}

/// Whether a browser that saves power is woken (RFC 8030, section 5.3): the lowest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// On power and Wi-Fi alone.
    VeryLow,
    /// On power or Wi-Fi.
    Low,
    /// Unless the battery is low.
    #[default]
    Normal,
    /// Always: calls, and what a user waits for.
    High,
}

impl Urgency {
    fn as_str(self) -> &'static str {
        match self {
            Self::VeryLow => "very-low",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// What a push is about, to the push service (RFC 8030, section 5.4): it sees this text, so it should tell nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(HeaderValue);

/// Longest topic, in characters.
const MAX_TOPIC: usize = 32;

/// What is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic is 1 to {MAX_TOPIC} characters of base64url")]
pub struct BadTopic;

impl Topic {
    /// This text: 1 to 32 characters of base64url.
    ///
    /// # Errors
    /// [`BadTopic`] if it is something else.
    pub fn new(text: &str) -> Result<Self, BadTopic> {
        let is_topic = (1..=MAX_TOPIC).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !is_topic {
            return Err(BadTopic);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| BadTopic)
    }
}

/// What has become of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The push service has it.
    Delivered,
    /// The subscription is no more (404, 410): nothing is to be pushed there again.
    Gone,
    /// It is too long for this push service (413).
    TooLarge,
    /// The push service does not take it, and will not (a redirect, too, which is not followed).
    Refused(u16),
    /// This server does not call the push service: it is not listed, or its name leads inward.
    NotAllowed,
    /// Not now (429, 5xx, the network): again after this time, if the push service said so.
    Retry {
        /// How long to wait at least.
        after: Option<Duration>,
    },
}

/// What hands pushes over: a [`Sender`], or a test's own.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Hands over a push, once.
    async fn deliver(&self, to: &Subscription, push: &Push) -> Outcome;
}

/// Hands pushes to the push services that this server calls.
pub struct Sender {
    client: Client<Dialler, Full<Bytes>>,
    services: Arc<Services>,
    vapid: Arc<Vapid>,
}

impl Sender {
    /// Over the internet, believing the certificates of the web's authorities.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(services: Arc<Services>, vapid: Arc<Vapid>) -> Result<Self, rustls::Error> {
        Ok(Self::over(Arc::new(Internet), web_tls()?, services, vapid))
    }

    /// Over a network and with a TLS of one's own.
    #[must_use]
    pub fn over(
        network: Arc<dyn Network>,
        tls: Arc<ClientConfig>,
        services: Arc<Services>,
        vapid: Arc<Vapid>,
    ) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(SENDS_PER_SERVICE)
            .http1_max_buf_size(HEAD)
            .build(Dialler::new(services.clone(), network, tls));
        Self { client, services, vapid }
    }

    /// Hands over a push, once: in at most 15 s there is an outcome.
    pub async fn send(&self, to: &Subscription, push: &Push) -> Outcome {
        // Connections are checked as they are dialled; this is for those that are open.
        if self.services.way(to.endpoint()).is_err() {
            return Outcome::NotAllowed;
        }
        let deadline = Instant::now() + WHOLE;
        let request = match self.request(to, push) {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(%error, "a push was not made");
                return Outcome::Retry { after: None };
            }
        };
        match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => {
                let outcome = outcome(&answer, SystemTime::now());
                let _ = timeout_at(deadline, Limited::new(answer.into_body(), ANSWER).collect()).await;
                outcome
            }
            Ok(Err(error)) => {
                tracing::debug!(
                    service = to.origin(),
                    error = cause(&error),
                    "a push service is not reached"
                );
                if leads_nowhere(&error) { Outcome::NotAllowed } else { Outcome::Retry { after: None } }
            }
            Err(_) => Outcome::Retry { after: None },
        }
    }

    fn request(&self, to: &Subscription, push: &Push) -> Result<Request<Full<Bytes>>, RequestError> {
        let body = seal(&push.payload, to)?;
        let mut authorization =
            HeaderValue::try_from(self.vapid.authorization(to.endpoint(), SystemTime::now()))
                .map_err(axum::http::Error::from)?;
        authorization.set_sensitive(true);
        let mut request = Request::post(to.endpoint().as_str())
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("ttl", push.ttl.as_secs())
            .header("urgency", push.urgency.as_str());
        if let Some(Topic(topic)) = &push.topic {
            request = request.header("topic", topic);
        }
        Ok(request.body(Full::from(body))?)
    }
}

#[async_trait]
impl Deliver for Sender {
    async fn deliver(&self, to: &Subscription, push: &Push) -> Outcome {
        self.send(to, push).await
    }
}

#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Without what it was made of, which is for nobody's eyes.
    #[error("the request cannot be made")]
    Http(#[from] axum::http::Error),
}

/// What an answer says (RFC 8030, sections 5 to 8).
fn outcome<B>(answer: &Response<B>, now: SystemTime) -> Outcome {
    match answer.status() {
        status if status.is_success() => Outcome::Delivered,
        StatusCode::NOT_FOUND | StatusCode::GONE => Outcome::Gone,
        StatusCode::PAYLOAD_TOO_LARGE => Outcome::TooLarge,
        status if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Outcome::Retry { after: after.and_then(|text| retry_after(text, now)) }
        }
        status => Outcome::Refused(status.as_u16()),
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What a failure comes from; the words above it add nothing.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Whether a failure is that the push service may not be dialled.
fn leads_nowhere(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(DialError::NotAllowed(_) | DialError::Inward) = error.downcast_ref() {
            return true;
        }
        next = error.source();
    }
    false
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("services", &self.services).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn an_answer_says_what_becomes_of_a_push() {
        let of = |status: u16, after: Option<&str>| {
            let mut answer = Response::builder().status(status);
            if let Some(after) = after {
                answer = answer.header("retry-after", after);
            }
            let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
            outcome(&answer.body(()).unwrap(), now)
        };
        let retry = |seconds: Option<u64>| Outcome::Retry { after: seconds.map(Duration::from_secs) };
        for status in [200, 201, 202, 204] {
            assert_eq!(of(status, None), Outcome::Delivered);
        }
        assert_eq!(of(404, None), Outcome::Gone);
        assert_eq!(of(410, None), Outcome::Gone);
        assert_eq!(of(413, None), Outcome::TooLarge);
        for status in [301, 302, 307, 308, 400, 401, 403, 405] {
            assert_eq!(of(status, Some("1")), Outcome::Refused(status));
        }
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(of(status, None), retry(None));
            assert_eq!(of(status, Some("120")), retry(Some(120)));
            assert_eq!(of(status, Some("Sun, 06 Nov 1994 08:49:37 GMT")), retry(Some(60)));
            assert_eq!(of(status, Some("Sun, 06 Nov 1983 08:49:37 GMT")), retry(Some(0)));
            for nonsense in ["", "soon", "-1", "1.5", "99999999999999999999"] {
                assert_eq!(of(status, Some(nonsense)), retry(None), "{nonsense}");
            }
        }
    }

    #[test]
    fn topics_are_what_a_header_may_say() {
        assert!(Topic::new("aZ09-_").is_ok());
        for wrong in ["", "a b", "a\r\nb", "a=", "ä", &"a".repeat(33)] {
            assert_eq!(Topic::new(wrong), Err(BadTopic), "{wrong}");
        }
    }
}
