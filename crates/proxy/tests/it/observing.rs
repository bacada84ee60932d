//! What is seen of a request: phases, trace context, spans, a sample of the log.

use std::time::Duration;

use proxy::{AccessLog, TraceContext, span_queue};
use telemetry::Phase;
use testkit::eventually;
use testkit::target::Target;

use crate::support::{Bench, gateway, get, route};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn with(fields: &str) -> String {
    get("shop", "/").replace("\r\n\r\n", &format!("\r\n{fields}\r\n\r\n"))
}

async fn serving(bench: &Bench, target: &Target) {
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
}

#[tokio::test]
async fn phases_are_counted_and_told() {
    let bench = Bench::with(|settings| settings.workers = 1);
    let target = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            while wire.read_request().await?.is_some() {
                // More than is asked for below: the proxy may note a moment late when it had sent the request.
                tokio::time::sleep(Duration::from_millis(100)).await;
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    serving(&bench, &target).await;
    let mut client = bench.connect().await;
    let answer = client.ask(&with("Vamp-Debug: 1")).await.unwrap();
    let phases = answer.field("vamp-phases").unwrap();
    let times: Vec<f64> =
        phases.split(' ').map(|phase| phase.split_once('=').unwrap().1.parse().unwrap()).collect();
    assert!(phases.starts_with("wait=0.000 connect=") && times[1] > 0.0 && times[2] >= 30.0, "{phases}");
    assert!(client.ask(&get("shop", "/")).await.unwrap().field("vamp-phases").is_none());
    let series = bench.telemetry.route(&"shop".parse_name(), &"a".parse_path());
    assert!(eventually(|| series.phase(Phase::FirstByte).times.count() == 2).await);
    let connects = series.phase(Phase::Connect);
    assert_eq!((connects.times.count(), connects.nanos > 0), (1, true), "the second found one at hand");
    assert_eq!(series.phase(Phase::Wait).times.count(), 0);
    assert!(series.phase(Phase::FirstByte).nanos >= 30_000_000);
    // One of the two is idle until its time is up.
    assert!(eventually(|| bench.proxy.idle_connections() == 1).await);
}

trait Names {
    fn parse_name(&self) -> model::name::GatewayName;
    fn parse_path(&self) -> model::name::RoutePath;
}

impl Names for str {
    fn parse_name(&self) -> model::name::GatewayName {
        model::name::GatewayName::parse(self).unwrap()
    }

    fn parse_path(&self) -> model::name::RoutePath {
        model::name::RoutePath::parse(self).unwrap()
    }
}

#[tokio::test]
async fn trace_context_is_passed_on_as_it_is() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    serving(&bench, &target).await;
    for parent in [PARENT, "nonsense"] {
        let fields = format!("traceparent: {parent}\r\nTraceState: a=b,c=d");
        bench.connect().await.ask(&with(&fields)).await.unwrap();
        let seen = target.last().unwrap();
        assert_eq!(seen.field("traceparent").as_deref(), Some(parent));
        assert_eq!(seen.field("tracestate").as_deref(), Some("a=b,c=d"));
    }
}

#[tokio::test]
async fn taking_part_in_traces() {
    let (sender, mut receiver) = span_queue(10);
    let bench = Bench::with(|settings| {
        settings.trace_context = TraceContext::Create { sampled: 0 };
        settings.spans = Some(sender);
    });
    let target = Target::named("a").await.unwrap();
    serving(&bench, &target).await;
    let ask = async |fields: &str| {
        bench.connect().await.ask(&with(fields)).await.unwrap();
        target.last().unwrap()
    };
    let seen = ask(&format!("traceparent: {PARENT}\r\ntracestate: a=b")).await;
    let span = receiver.spans.recv().await.unwrap();
    let sent = seen.field("traceparent").unwrap();
    assert_eq!(sent, format!("{}{:016x}-01", &PARENT[..36], span.id));
    assert_ne!(sent, PARENT);
    assert_eq!(seen.field("tracestate").as_deref(), Some("a=b"));
    assert_eq!(
        (span.trace, span.parent),
        (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, Some(0xb7ad_6b71_6920_3331))
    );
    assert_eq!((span.gateway.as_deref(), span.status, span.path.as_str()), (Some("shop"), 200, "/"));

    // Malformed, twice, or none: a trace begins, which is not sampled here.
    for fields in [
        "traceparent: nonsense\r\ntracestate: a=b".to_owned(),
        format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\ntracestate: a=b"),
        "X-Y: z".to_owned(),
    ] {
        let seen = ask(&fields).await;
        let made = seen.field("traceparent").unwrap();
        assert!(made.len() == 55 && !made.starts_with(&PARENT[..36]), "{fields}: {made}");
        assert!(seen.field("tracestate").is_none(), "{fields}");
    }
    assert!(receiver.spans.try_recv().is_err());
    assert_eq!(bench.proxy.spans_dropped(), Some(0));
}

#[tokio::test]
async fn spans_that_nobody_takes_are_counted() {
    let (sender, receiver) = span_queue(1);
    let bench = Bench::with(|settings| settings.spans = Some(sender));
    let target = Target::named("a").await.unwrap();
    serving(&bench, &target).await;
    for _ in 0..3 {
        let answer = bench.connect().await.ask(&with(&format!("traceparent: {PARENT}"))).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert!(eventually(|| bench.proxy.spans_dropped() == Some(2)).await);
    drop(receiver);
    bench.connect().await.ask(&with(&format!("traceparent: {PARENT}"))).await.unwrap();
    assert!(eventually(|| bench.proxy.spans_dropped() == Some(3)).await);
}

#[tokio::test]
async fn a_sample_of_the_log_and_every_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let bench = Bench::with(|settings| {
        settings.access_log = Some(AccessLog::File(path.clone()));
        settings.access_log_sample = 2_500;
    });
    let target = Target::named("a").await.unwrap();
    serving(&bench, &target).await;
    let mut client = bench.connect().await;
    for _ in 0..20 {
        client.ask(&with(&format!("traceparent: {PARENT}"))).await.unwrap();
    }
    assert_eq!(client.ask(&get("other", "/")).await.unwrap().status(), 404);
    drop(client);
    let lines = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    assert!(eventually(|| lines().len() >= 6).await, "{:?}", lines());
    let (good, bad): (Vec<_>, Vec<_>) = lines().into_iter().partition(|line| line["status"] == 200);
    assert_eq!((good.len(), bad.len()), (5, 1));
    assert!(good.iter().all(|line| line["sample"] == 0.25 && line["trace"] == PARENT[3..35]), "{good:?}");
    assert!(bad[0].get("sample").is_none() && bad[0]["error"] == "no_gateway");
}
