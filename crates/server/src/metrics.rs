//! What the server counts, for `GET /metrics`: the text format of Prometheus and OpenMetrics. Nothing in it names an
//! account, a device or a conversation, and no label has more values than the code has names for.

use std::{fmt, sync::Arc, time::Duration};

use axum::http::Method;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use tutti_acceptance::{accept::Verdict, platform::Platform};
use tutti_protocol::wire::{self, client_frame::Frame, operation::Body};

use crate::{api::ROUTES, push::Counts};

/// What the format is called.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of durations, in seconds.
const SECONDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What the server counts.
pub(crate) struct Metrics {
    registry: Registry,
    connections: Family<OfPlatform, Gauge>,
    ended: Family<Why, Counter>,
    slow: Counter,
    frames: Family<Kind, Counter>,
    operations: Family<Decided, Counter>,
    statuses: Family<Kind, Counter>,
    events: Counter,
    waiting: Gauge,
    pieces: Histogram,
    commits: Histogram,
    storage_errors: Family<Kind, Counter>,
    requests: Family<Answered, Counter>,
    durations: Family<OfRoute, Histogram, fn() -> Histogram>,
    pushes: Family<Outcome, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPlatform {
    platform: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Why {
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decided {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

impl Metrics {
    /// Nothing has happened yet.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("tutti"),
            connections: Family::default(),
            ended: Family::default(),
            slow: Counter::default(),
            frames: Family::default(),
            operations: Family::default(),
            statuses: Family::default(),
            events: Counter::default(),
            waiting: Gauge::default(),
            pieces: Histogram::new(exponential_buckets(1.0, 2.0, 7)),
            commits: Histogram::new(SECONDS),
            storage_errors: Family::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            pushes: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let all = &mut self.registry;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let build = prometheus_client::metrics::info::Info::new(version);
        all.register("build", "What this server is", build);
        all.register("connections", "WebSockets that stand", self.connections.clone());
        all.register("connections_ended", "WebSockets that ended, and why", self.ended.clone());
        all.register("slow_consumers", "WebSockets closed since they were not read from", self.slow.clone());
        all.register("frames", "Frames of clients, over WebSockets and by post", self.frames.clone());
        all.register(
            "operations",
            "Operations decided: accepted, or the code refused with",
            self.operations.clone(),
        );
        all.register("statuses", "Statuses said", self.statuses.clone());
        all.register("events", "Entries written to accounts' logs", self.events.clone());
        all.register("writer_waiting", "Pieces of work that wait for the writer", self.waiting.clone());
        all.register("commit_pieces", "Pieces of work in a commit", self.pieces.clone());
        let help = "From the beginning of a transaction to the end of its commit";
        all.register_with_unit("commit_duration", help, Unit::Seconds, self.commits.clone());
        let help = "Transactions that failed: passing ones are tried again, the others were refused";
        all.register("storage_errors", help, self.storage_errors.clone());
        all.register("http_requests", "Requests answered", self.requests.clone());
        let help = "From the head of a request to that of its answer";
        all.register_with_unit("http_request_duration", help, Unit::Seconds, self.durations.clone());
        all.register("pushes", "Web pushes that ended, and how", self.pushes.clone());
    }

    /// All of it as text, with how many pieces of work wait and how pushes have ended.
    ///
    /// # Errors
    /// Never, but that the encoder may say so.
    pub(crate) fn render(&self, waiting: usize, pushes: Counts) -> Result<String, fmt::Error> {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let Counts { delivered, gone, refused, expired, dropped, cancelled } = pushes;
        for (outcome, count) in [
            ("delivered", delivered),
            ("gone", gone),
            ("refused", refused),
            ("expired", expired),
            ("dropped", dropped),
            ("cancelled", cancelled),
        ] {
            let counter = self.pushes.get_or_create(&Outcome { outcome });
            counter.inner().store(count, std::sync::atomic::Ordering::Relaxed);
        }
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// A WebSocket stands until what this returns is dropped.
    pub(crate) fn connect(self: &Arc<Self>, platform: Platform) -> Connected {
        let platform = OfPlatform { platform: platform.as_str() };
        self.connections.get_or_create(&platform).inc();
        Connected { metrics: self.clone(), platform }
    }

    /// A WebSocket has ended.
    pub(crate) fn note_ending(&self, why: &'static str) {
        self.ended.get_or_create(&Why { why }).inc();
    }

    /// A WebSocket was not read from for too long.
    pub(crate) fn note_slow_consumer(&self) {
        self.slow.inc();
    }

    /// A frame came.
    pub(crate) fn note_frame(&self, frame: &Frame) {
        self.frames.get_or_create(&Kind { kind: frame_kind(frame) }).inc();
    }

    /// A status is said.
    pub(crate) fn note_status(&self, kind: &'static str) {
        self.statuses.get_or_create(&Kind { kind }).inc();
    }

    /// An operation was decided.
    pub(crate) fn note_verdict(&self, kind: &'static str, verdict: &Verdict) {
        let outcome = match verdict {
            Verdict::Accepted { .. } => "accepted",
            Verdict::Refused(refusal) => refusal.code.as_str(),
        };
        self.operations.get_or_create(&Decided { kind, outcome }).inc();
    }

    /// So many pieces of work were committed, with so many entries to logs.
    pub(crate) fn note_commit(&self, took: Duration, pieces: usize, entries: usize) {
        self.commits.observe(took.as_secs_f64());
        self.pieces.observe(pieces as f64);
        self.events.inc_by(entries as u64);
    }

    /// A transaction failed.
    pub(crate) fn note_storage_error(&self, is_passing: bool) {
        let kind = if is_passing { "passing" } else { "refused" };
        self.storage_errors.get_or_create(&Kind { kind }).inc();
    }

    /// A request was answered.
    pub(crate) fn note_request(&self, method: &Method, route: Option<&str>, status: u16, took: Duration) {
        let route = route.and_then(|path| ROUTES.iter().find(|route| route.path == path));
        let route = route.map_or("elsewhere", |route| route.path);
        self.requests.get_or_create(&Answered { method: method_name(method), route, status }).inc();
        self.durations.get_or_create(&OfRoute { route }).observe(took.as_secs_f64());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// That a WebSocket stands.
pub(crate) struct Connected {
    metrics: Arc<Metrics>,
    platform: OfPlatform,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.metrics.connections.get_or_create(&self.platform).dec();
    }
}

/// What an operation is about.
pub(crate) fn operation_kind(operation: &wire::Operation) -> &'static str {
    match operation.body {
        Some(Body::Send(_)) => "send",
        Some(Body::MarkRead(_)) => "mark-read",
        Some(Body::Edit(_)) => "edit",
        Some(Body::Recall(_)) => "recall",
        Some(Body::Set(_)) => "set",
        Some(Body::MarkNotification(_)) => "mark-notification",
        None => "none",
    }
}

fn frame_kind(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "hello",
        Frame::Submit(_) => "submit",
        Frame::Pull(_) => "pull",
        Frame::Ping(_) => "ping",
        Frame::Privacy(_) => "privacy",
        Frame::Status(_) => "status",
        Frame::Ask(_) => "ask",
        Frame::PullSnapshot(_) => "pull-snapshot",
        Frame::PullHistory(_) => "pull-history",
        Frame::Manage(_) => "manage",
        Frame::Refresh(_) => "refresh",
    }
}

/// Methods that no route has are one: whoever calls may make up any number of them.
fn method_name(method: &Method) -> &'static str {
    ROUTES.iter().find(|route| route.method == *method).map_or("other", |route| route.method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_called_makes_no_series_of_its_own() {
        let metrics = Metrics::new();
        for number in 0..100 {
            let (method, path) = (format!("X{number}"), format!("/{number}"));
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            metrics.note_request(&method, Some(&path), 404, Duration::ZERO);
            metrics.note_request(&method, None, 404, Duration::ZERO);
        }
        let text = metrics.render(0, Counts::default()).unwrap();
        let series = r#"tutti_http_requests_total{method="other",route="elsewhere",status="404"} 200"#;
        assert!(text.contains(series), "{text}");
        assert_eq!(text.matches("tutti_http_requests_total{").count(), 1);
    }

    #[test]
    fn a_connection_counts_until_it_is_dropped() {
        let metrics = Arc::new(Metrics::new());
        let web = |metrics: &Metrics| {
            let text = metrics.render(0, Counts::default()).unwrap();
            let line = text.lines().find(|line| line.starts_with(r#"tutti_connections{platform="web"}"#));
            line.unwrap().rsplit_once(' ').unwrap().1.to_owned()
        };
        let (one, two) = (metrics.connect(Platform::Web), metrics.connect(Platform::Web));
        assert_eq!(web(&metrics), "2");
        drop((one, two));
        assert_eq!(web(&metrics), "0");
    }
}
