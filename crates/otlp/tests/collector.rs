//! Against a real little collector: an HTTP server that decodes what comes with other people's definitions of the protocol.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use model::gateway::Balance;
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1::Span;
use otlp::{Endpoint, Settings};
use prost::Message;
use routing::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use testkit::eventually;

#[derive(Default)]
struct Collector {
    /// What it answers; 0 means 200.
    status: AtomicU16,
    asked: AtomicUsize,
    traces: Mutex<Vec<ExportTraceServiceRequest>>,
    metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
}

impl Collector {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Arc::new(Self::default());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(Arc::clone(&collector));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, address)
    }

    fn answer(&self, headers: &HeaderMap) -> StatusCode {
        self.asked.fetch_add(1, SeqCst);
        assert_eq!(headers["content-type"], "application/x-protobuf");
        match self.status.load(SeqCst) {
            0 => StatusCode::OK,
            status => StatusCode::from_u16(status).unwrap(),
        }
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.traces.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn metric(&self, name: &str) -> Option<Metric> {
        let requests = self.metrics.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_metrics);
        let mut metrics =
            resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        metrics.find(|metric| metric.name == name).cloned()
    }
}

async fn traces(State(collector): State<Arc<Collector>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = collector.answer(&headers);
    if status.is_success() {
        collector.traces.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
    }
    status
}

async fn metrics(State(collector): State<Arc<Collector>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let status = collector.answer(&headers);
    if status.is_success() {
        collector.metrics.lock().unwrap().push(ExportMetricsServiceRequest::decode(body).unwrap());
    }
    status
}

fn settings(address: SocketAddr) -> Settings {
    let endpoint: Endpoint = format!("http://{address}").parse().unwrap();
    Settings {
        linger: Duration::from_millis(20),
        period: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        pause: Duration::from_millis(5),
        ..Settings::new(endpoint, None, "one".into(), "0.1.0".into())
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn text(value: &str) -> Option<Value> {
    Some(Value::StringValue(value.into()))
}

/// A proxy with one gateway and a target, as a program has it.
struct World {
    proxy: proxy::Proxy,
    target: testkit::target::Target,
    dropped: Arc<std::sync::atomic::AtomicU64>,
}

impl World {
    async fn start(address: SocketAddr, trace_context: proxy::TraceContext, queue: usize) -> Self {
        Self::exporting(settings(address), trace_context, queue).await
    }

    async fn exporting(exported: Settings, trace_context: proxy::TraceContext, queue: usize) -> Self {
        let (sender, receiver) = proxy::span_queue(queue);
        let dropped = Arc::clone(&receiver.dropped);
        tokio::spawn(otlp::Exporter::new(exported).unwrap().run(receiver, page));
        let settings = proxy::Settings {
            workers: 1,
            virtual_host_listen: Some("127.0.0.1:0".parse().unwrap()),
            trace_context,
            spans: Some(sender),
            ..proxy::Settings::default()
        };
        let proxy = proxy::Proxy::start(settings, telemetry::Telemetry::new(1)).unwrap();
        let target = testkit::target::Target::named("hello").await.unwrap();
        let route = RouteConfig {
            path: RoutePath::parse("(1.0)").unwrap(),
            lookup: "r".into(),
            weight: 10_000,
            condition: None,
            strength: 0,
            balance: Balance::Default,
            rewrites: Vec::new(),
            targets: vec![TargetConfig {
                id: "t".into(),
                name: "pod-1".into(),
                address: TargetAddress::Socket(target.address()),
                kind: TargetKind::Instance,
                protocol: TargetProtocol::default(),
                tls: None,
            }],
        };
        let name = GatewayName::parse("shop").unwrap();
        let gateway = GatewayConfig {
            name: name.clone(),
            lookup: "g".into(),
            port: None,
            protocol: Protocol::Http,
            hosts: vec!["shop.test".into()],
            sticky: None,
            sticky_generation: 0,
            tls: None,
            target_tls: None,
            target_care: None,
            proxy_protocol: false,
            routes: vec![route],
        };
        let gateways = [(name, Arc::new(gateway))].into();
        proxy.apply(Arc::new(RoutingConfig { revision: 1, gateways })).await;
        Self { proxy, target, dropped }
    }

    async fn ask(&self, path: &str, fields: &str) -> u16 {
        let address = self.proxy.virtual_host_address().unwrap();
        let mut wire = testkit::target::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n{fields}\r\n");
        wire.ask(&request).await.unwrap().status()
    }
}

/// The kinds that a page of metrics has.
fn page() -> String {
    "# HELP c_total Things.\n# TYPE c_total counter\nc_total{gateway=\"shop\"} 7\n\
     # HELP g_bytes Now.\n# TYPE g_bytes gauge\ng_bytes 1.5\n\
     # HELP h_seconds Times.\n# TYPE h_seconds histogram\n\
     h_seconds_bucket{route=\"a\",le=\"0.1\"} 2\nh_seconds_bucket{route=\"a\",le=\"1\"} 5\nh_seconds_bucket{route=\"a\",le=\"+Inf\"} 6\n\
     h_seconds_sum{route=\"a\"} 3.5\nh_seconds_count{route=\"a\"} 6\n\
     h_seconds_bucket{route=\"b\",le=\"0.1\"} 0\nh_seconds_bucket{route=\"b\",le=\"1\"} 0\nh_seconds_bucket{route=\"b\",le=\"+Inf\"} 1\n\
     h_seconds_sum{route=\"b\"} 9\nh_seconds_count{route=\"b\"} 1\n\
     # HELP s_seconds Sums.\n# TYPE s_seconds summary\ns_seconds_sum 2\ns_seconds_count 4\n"
        .into()
}

#[tokio::test]
async fn a_request_is_a_span_of_the_trace_that_it_came_with() {
    let (collector, address) = Collector::start().await;
    let world = World::start(address, proxy::TraceContext::Create { sampled: 10_000 }, 100).await;
    let before = SystemTime::now();
    let parent =
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b\r\n";
    assert_eq!(world.ask("/things?secret=1", parent).await, 200);
    assert!(eventually(|| collector.spans().len() == 1).await);
    let span = collector.spans().remove(0);
    assert_eq!(
        format!("{:032x}", u128::from_be_bytes(span.trace_id.clone().try_into().unwrap())),
        "0af7651916cd43dd8448eb211c80319c"
    );
    assert_eq!(span.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    // What the target got as its parent is this span.
    let seen = world.target.last().unwrap();
    let id = format!("{:016x}", u64::from_be_bytes(span.span_id.clone().try_into().unwrap()));
    assert_eq!(seen.field("traceparent").unwrap(), format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01"));
    assert_eq!(seen.field("tracestate").unwrap(), "a=b");
    assert_eq!((span.name.as_str(), span.kind), ("GET shop", 2));
    for (key, value) in [
        ("vamp.gateway", "shop"),
        ("vamp.route", "(1.0)"),
        ("vamp.target", "pod-1"),
        ("vamp.reason", "weight"),
        ("http.request.method", "GET"),
        ("url.path", "/things"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(attribute(&span.attributes, key), text(value), "{key}");
    }
    assert_eq!(attribute(&span.attributes, "http.response.status_code"), Some(Value::IntValue(200)));
    assert!(
        matches!(attribute(&span.attributes, "vamp.connect"), Some(Value::DoubleValue(time)) if time > 0.0)
    );
    let nanos = |time: SystemTime| {
        u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
    };
    assert!(
        span.start_time_unix_nano >= nanos(before) - 5_000_000
            && span.end_time_unix_nano <= nanos(SystemTime::now()) + 5_000_000
    );
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    assert_eq!((span.events.len(), span.events[0].name.as_str()), (1, "first byte"));
    assert!(span.status.is_none());
    let resource = collector.traces.lock().unwrap()[0].resource_spans[0].resource.clone().unwrap();
    assert_eq!(attribute(&resource.attributes, "service.name"), text("vamp"));
    assert_eq!(attribute(&resource.attributes, "service.instance.id"), text("one"));
}

#[tokio::test]
async fn what_is_sampled_is_up_to_whoever_began_the_trace() {
    let (collector, address) = Collector::start().await;
    let world = World::start(address, proxy::TraceContext::Pass, 100).await;
    let context = |flags: &str| {
        format!("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}\r\n")
    };
    world.ask("/", &context("00")).await;
    assert_eq!(world.target.last().unwrap().field("traceparent").unwrap(), context("00")[13..].trim());
    world.ask("/", "traceparent: nonsense\r\n").await;
    assert_eq!(world.target.last().unwrap().field("traceparent").unwrap(), "nonsense", "passed on as it is");
    world.ask("/", "").await;
    assert_eq!(world.target.last().unwrap().field("traceparent"), None);
    world.ask("/", &context("01")).await;
    assert!(eventually(|| !collector.spans().is_empty()).await);
    assert_eq!(collector.spans().len(), 1);

    let world = World::start(address, proxy::TraceContext::Create { sampled: 0 }, 100).await;
    world.ask("/", "traceparent: nonsense\r\ntracestate: a=b\r\n").await;
    let seen = world.target.last().unwrap();
    let made = seen.field("traceparent").unwrap();
    assert!(made.len() == 55 && made.starts_with("00-") && !made.ends_with('1'), "{made}");
    assert_eq!(seen.field("tracestate"), None, "it belongs to another trace");
    world.ask("/", &context("01")).await;
    assert!(eventually(|| collector.spans().len() == 2).await);
}

#[tokio::test]
async fn metrics_of_every_kind() {
    let (collector, address) = Collector::start().await;
    let _world = World::start(address, proxy::TraceContext::Pass, 100).await;
    assert!(eventually(|| collector.metric("s_seconds").is_some()).await);
    let data = |name: &str| collector.metric(name).unwrap().data.unwrap();
    let Data::Sum(sum) = data("c_total") else { panic!("no sum") };
    assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (2, true));
    assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(7)));
    assert_eq!(attribute(&sum.data_points[0].attributes, "gateway"), text("shop"));
    assert!(sum.data_points[0].start_time_unix_nano > 0 && sum.data_points[0].time_unix_nano > 0);
    let Data::Gauge(gauge) = data("g_bytes") else { panic!("no gauge") };
    assert_eq!(gauge.data_points[0].value, Some(number_data_point::Value::AsDouble(1.5)));
    assert_eq!(collector.metric("g_bytes").unwrap().unit, "By");
    let Data::Histogram(histogram) = data("h_seconds") else { panic!("no histogram") };
    let points: Vec<_> = histogram
        .data_points
        .iter()
        .map(|point| (point.count, point.sum, point.bucket_counts.clone(), point.explicit_bounds.clone()))
        .collect();
    let bounds = vec![0.1, 1.0];
    assert_eq!(
        points,
        [(6, Some(3.5), vec![2, 3, 1], bounds.clone()), (1, Some(9.0), vec![0, 0, 1], bounds)]
    );
    let Data::Summary(summary) = data("s_seconds") else { panic!("no summary") };
    assert_eq!((summary.data_points[0].count, summary.data_points[0].sum), (4, 2.0));
}

#[tokio::test]
async fn a_collector_that_is_busy_gets_them_later() {
    let (collector, address) = Collector::start().await;
    collector.status.store(503, SeqCst);
    let world = World::start(address, proxy::TraceContext::Create { sampled: 10_000 }, 100).await;
    world.ask("/", "").await;
    assert!(eventually(|| collector.asked.load(SeqCst) > 1).await);
    collector.status.store(0, SeqCst);
    let lost = || world.dropped.load(SeqCst) == 1;
    assert!(eventually(|| collector.spans().len() == 1 || lost()).await);
    // It may have been given up by then; the next ones get there in any case.
    world.ask("/", "").await;
    assert!(eventually(|| !collector.spans().is_empty()).await);
}

#[tokio::test]
async fn what_the_collector_does_not_take_is_counted_and_requests_go_on() {
    for status in [400, 503] {
        let (collector, address) = Collector::start().await;
        collector.status.store(status, SeqCst);
        let world = World::start(address, proxy::TraceContext::Create { sampled: 10_000 }, 100).await;
        for _ in 0..3 {
            assert_eq!(world.ask("/", "").await, 200);
        }
        assert!(eventually(|| world.dropped.load(SeqCst) == 3).await, "{status}");
        assert!(collector.spans().is_empty());
    }
    // Nobody there at all, and a queue for two.
    let nobody = testkit::target::refused().await.unwrap();
    let world = World::start(nobody, proxy::TraceContext::Create { sampled: 10_000 }, 2).await;
    for _ in 0..20 {
        assert_eq!(world.ask("/", "").await, 200);
    }
    assert!(eventually(|| world.dropped.load(SeqCst) == 20).await, "{}", world.dropped.load(SeqCst));
}

/// The same over TLS: what comes decodes, and a collector that is not trusted gets nothing.
#[tokio::test]
async fn over_tls_to_a_collector_that_is_trusted() {
    let (collector, plain) = Collector::start().await;
    let authority = testkit::tls::Authority::new();
    let secure = testkit::tls::before(plain, authority.issue(&["localhost"]).server()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let (right, wrong) =
        (write("ca.crt", authority.pem()), write("other.crt", testkit::tls::Authority::new().pem()));
    let with = |host: &str, ca: &Option<std::path::PathBuf>| {
        let endpoint: Endpoint = format!("https://{host}:{}", secure.port()).parse().unwrap();
        Settings { endpoint, ca: ca.clone(), ..settings(secure) }
    };
    let create = proxy::TraceContext::Create { sampled: 10_000 };
    // Another authority, and another name than that of the certificate.
    for settings in [with("localhost", &wrong), with("127.0.0.1", &right)] {
        let world = World::exporting(settings, create, 64).await;
        world.ask("/", "").await;
        assert!(eventually(|| world.dropped.load(SeqCst) > 0).await);
        assert_eq!(collector.asked.load(SeqCst), 0, "nothing gets there");
    }
    let world = World::exporting(with("localhost", &right), create, 64).await;
    world.ask("/", "").await;
    assert!(eventually(|| !collector.spans().is_empty()).await);
    assert!(eventually(|| collector.metric("s_seconds").is_some()).await);
    assert_eq!(world.dropped.load(SeqCst), 0);

    let error = otlp::Exporter::new(with("localhost", &Some(folder.path().join("none.crt")))).unwrap_err();
    assert!(error.contains("cannot read") && error.contains("none.crt"), "{error}");
}
