//! Targets that fail, and who else is asked.

use std::time::Duration;

use routing::config::{TargetAddress, TargetConfig, TargetKind};
use testkit::eventually;
use testkit::target::{Target, answer_all, refused};

use crate::support::{Bench, brisk, gateway, get, kind, route, target};

const POST: &str = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx";

#[tokio::test]
async fn a_refused_connection_goes_to_another_target() {
    let bench = Bench::new();
    let good = Target::named("good").await.unwrap();
    let bad = refused().await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad, good.address()])])]).await;
    let mut client = bench.connect().await;
    for _ in 0..10 {
        assert_eq!(client.ask(POST).await.unwrap().text(), "goodx");
    }
    assert_eq!(good.count(), 10);
}

#[tokio::test]
async fn a_target_that_refuses_everything_is_left_alone_for_a_while() {
    let bench = Bench::with(|settings| settings.limits.health_interval = Duration::from_secs(3600));
    let good = Target::named("good").await.unwrap();
    let bad = refused().await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad, good.address()])])]).await;
    let mut client = bench.connect().await;
    for _ in 0..10 {
        client.ask(&get("shop", "/")).await.unwrap();
    }
    let up: Vec<bool> = bench.proxy.targets().iter().map(|target| target.up).collect();
    assert_eq!(up, [false, true]);
}

#[tokio::test]
async fn nobody_there() {
    let bench = Bench::new();
    let bad = refused().await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad])])]).await;
    let mut client = bench.connect().await;
    for _ in 0..3 {
        let response = client.ask(&get("shop", "/")).await.unwrap();
        assert_eq!(
            (response.status(), response.field("vamp-proxy-error").as_deref()),
            (503, Some("connect"))
        );
    }
    // The last target of a route is never taken down by requests.
    assert!(bench.proxy.targets()[0].up);
}

/// Serves one request for each connection and closes without saying so, when the next one comes or before.
async fn forgetful() -> Target {
    Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            if let Some(request) = wire.read_request().await? {
                seen.record(request);
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                // Closes exactly when the next request begins to arrive.
                wire.has_more().await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_stale_connection_is_replaced() {
    let bench = Bench::with(|settings| settings.workers = 1);
    let target = forgetful().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    for number in 1..=5 {
        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().status(), 200);
        assert_eq!((target.count(), target.connections()), (number, number));
    }
}

/// A target that served a connection before may have had the request, however it ended: what must not be done twice is not.
#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let target = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                let dies = request.start.starts_with("POST");
                seen.record(request);
                if dies {
                    return Ok(());
                }
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let bench = Bench::with(|settings| settings.workers = 1);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    for number in 1..=3 {
        assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().status(), 200);
        let response = bench.connect().await.ask(POST).await.unwrap();
        assert_eq!(
            (response.status(), response.field("vamp-proxy-error").as_deref()),
            (502, Some("bad_response"))
        );
        assert_eq!((target.count(), target.connections()), (2 * number, number));
    }
}

/// Reads a request and closes without a byte, on connections below `until`.
async fn dying(until: usize, name: &'static str) -> Target {
    Target::start(move |mut wire, number, seen| {
        Box::pin(async move {
            if number < until {
                if let Some(request) = wire.read_request().await? {
                    seen.record(request);
                }
                return Ok(());
            }
            answer_all(wire, seen, name.into()).await
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn only_idempotent_requests_are_sent_twice() {
    let bench = Bench::new();
    let target = dying(1, "second").await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "second");
    assert_eq!(target.count(), 2);

    let target = dying(1, "second").await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let response = bench.connect().await.ask(POST).await.unwrap();
    assert_eq!(
        (response.status(), response.field("vamp-proxy-error").as_deref()),
        (502, Some("bad_response"))
    );
    assert_eq!(target.count(), 1);

    // PUT may be repeated, as long as its body is still at hand.
    let target = dying(1, "second").await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let put = POST.replace("POST", "PUT");
    assert_eq!(bench.connect().await.ask(&put).await.unwrap().text(), "secondx");
}

#[tokio::test]
async fn a_body_that_was_streamed_is_not_sent_twice() {
    let bench = Bench::new();
    let target = dying(10, "never").await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut client = bench.connect().await;
    let length = 300_000;
    let head = format!("PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n");
    client.send(head.as_bytes()).await.unwrap();
    client.send(&vec![b'x'; length]).await.unwrap();
    assert_eq!(client.read_response().await.unwrap().status(), 502);
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn external_targets_are_checked_and_come_back() {
    let bench = Bench::with(|settings| settings.limits = brisk());
    let address = refused().await.unwrap();
    let bad = || kind(TargetKind::External, route("a", 100, &[address]));
    bench.apply(vec![gateway("shop", vec![bad()])]).await;
    assert!(eventually(|| !bench.proxy.targets()[0].up).await);
    let response = bench.connect().await.ask(&get("shop", "/")).await.unwrap();
    assert_eq!(response.field("vamp-proxy-error").as_deref(), Some("no_target"));
    let back = Target::start_on(&address.to_string(), |wire, _, seen| {
        Box::pin(answer_all(wire, seen, "back".into()))
    })
    .await
    .unwrap();
    assert!(eventually(|| bench.proxy.targets()[0].up).await);
    assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "back");
    // Nothing about it is forgotten when the gateway changes.
    drop(back);
    assert!(eventually(|| !bench.proxy.targets()[0].up).await);
    bench.apply(vec![gateway("shop", vec![bad(), route("b", 0, &[])])]).await;
    assert!(!bench.proxy.targets()[0].up);
}

#[tokio::test]
async fn host_names_are_resolved_before_the_first_request() {
    let bench = Bench::new();
    let local = Target::named("local").await.unwrap();
    let mut routes = vec![route("a", 100, &[])];
    routes[0].targets = vec![TargetConfig {
        address: TargetAddress::Name { host: "localhost".into(), port: local.address().port() },
        ..target(local.address(), TargetKind::External)
    }];
    bench.apply(vec![gateway("shop", routes)]).await;
    assert!(!bench.proxy.targets().is_empty());
    let ids: std::collections::BTreeSet<_> =
        bench.proxy.targets().into_iter().map(|target| target.id).collect();
    assert_eq!(ids.len(), bench.proxy.targets().len());
    for _ in 0..4 {
        assert_eq!(bench.connect().await.ask(&get("shop", "/")).await.unwrap().text(), "local");
    }
}
