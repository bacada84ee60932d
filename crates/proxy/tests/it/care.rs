//! Targets that answer badly: who is left out, and how they come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use model::gateway::TargetCare;
use proxy::{Limits, OutlierRules, TargetCondition};
use routing::config::GatewayConfig;
use testkit::eventually;
use testkit::target::{Target, answer_all, connect, refused};
use tokio::sync::Semaphore;

use crate::support::{Bench, SHORT, brisk, free_port, gateway, get, loopback, route, tcp};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// How long one is left out that is to come back in the course of a test.
const EJECTION: Duration = Duration::from_millis(1500);

/// A proxy that looks after its targets twenty times a second, and leaves out for good.
fn quick(change: impl FnOnce(&mut OutlierRules)) -> Bench {
    Bench::with(|settings| {
        settings.limits = brisk();
        settings.outliers.ejection_time = Duration::from_secs(3600);
        settings.outliers.longest_ejection = Duration::from_secs(3600);
        change(&mut settings.outliers);
    })
}

/// Answers as long as it is well, and with 503 when not.
async fn moody() -> (Target, Arc<AtomicBool>) {
    let well = Arc::new(AtomicBool::new(false));
    let mood = Arc::clone(&well);
    let target = Target::start(move |mut wire, _, seen| {
        let mood = Arc::clone(&mood);
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                wire.send(if mood.load(SeqCst) { GOOD } else { BAD }.as_bytes()).await?;
            }
            Ok(())
        })
    });
    (target.await.unwrap(), well)
}

fn conditions(bench: &Bench) -> Vec<TargetCondition> {
    bench.proxy.targets().iter().map(|target| target.condition).collect()
}

async fn statuses(bench: &Bench, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(bench.connect().await.ask(&get("shop", "/")).await.unwrap().status());
    }
    statuses
}

#[tokio::test]
async fn one_that_fails_is_left_out_and_comes_back_when_it_is_well() {
    let bench = quick(|rules| rules.ejection_time = EJECTION);
    let good = Target::named("good").await.unwrap();
    let (bad, well) = moody().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad.address(), good.address()])])]).await;
    let seen = statuses(&bench, 10).await;
    assert_eq!(seen.iter().filter(|status| **status == 503).count(), 5, "{seen:?}");
    // The client may have its answer before the proxy has taken note of it.
    assert!(eventually(|| conditions(&bench) == [TargetCondition::Ejected, TargetCondition::Up]).await);
    let told = bench.proxy.incidents();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ejected && told[0].id == format!("t{}", bad.address().port()));
    assert!(statuses(&bench, 10).await.iter().all(|status| *status == 200));

    // Let in again while it still fails: left out for longer.
    assert!(eventually(|| conditions(&bench)[0] == TargetCondition::Up).await);
    let again = Instant::now();
    assert!(statuses(&bench, 10).await.contains(&503));
    assert!(eventually(|| conditions(&bench)[0] == TargetCondition::Ejected).await);
    well.store(true, SeqCst);
    assert!(eventually(|| conditions(&bench)[0] == TargetCondition::Up).await);
    assert!(again.elapsed() >= 2 * EJECTION - Duration::from_millis(100), "{:?}", again.elapsed());
    let before = bad.count();
    assert!(statuses(&bench, 10).await.iter().all(|status| *status == 200));
    assert_eq!(bad.count() - before, 5, "its full part");
    assert_eq!(bench.proxy.targets()[0].ejections, 2);
    // Flaps are not told; that it can be trusted again is.
    assert!(eventually(|| bench.proxy.incidents().iter().any(|incident| !incident.ejected)).await);
}

#[tokio::test]
async fn when_all_fail_nobody_is_left_out() {
    let bench = quick(|_| {});
    let ((one, _), (two, _)) = (moody().await, moody().await);
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[one.address(), two.address()])])]).await;
    assert!(statuses(&bench, 40).await.iter().all(|status| *status == 503));
    assert_eq!(conditions(&bench), [TargetCondition::Up; 2]);
    assert!(bench.proxy.incidents().is_empty());
}

#[tokio::test]
async fn no_more_than_half_and_never_the_last() {
    let bench = quick(|_| {});
    let good = Target::named("good").await.unwrap();
    let ((one, _), (two, _)) = (moody().await, moody().await);
    let all = [one.address(), two.address(), good.address()];
    bench.apply(vec![gateway("shop", vec![route("a", 100, &all)])]).await;
    statuses(&bench, 60).await;
    let ejected = || conditions(&bench).into_iter().filter(|c| *c == TargetCondition::Ejected).count();
    assert!(ejected() <= 1, "{:?}", conditions(&bench));
    // Two are left, then one: it serves, whatever it did before.
    bench.apply(vec![gateway("shop", vec![route("a", 100, &all[..2])])]).await;
    assert!(ejected() <= 1);
    for last in &all[..2] {
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[*last])])]).await;
        assert_eq!(statuses(&bench, 1).await, [503]);
        assert!(eventually(|| ejected() == 0).await);
    }
}

/// Every way in which a target can fail counts, and so does the client's way of asking for trouble not.
#[tokio::test]
async fn whatever_is_wrong_with_it() {
    let scripts: [(&str, &str); 5] = [
        ("garbage", "\u{1}\u{2}\u{3} who are you\r\n\r\n"),
        ("status 500", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        ("ends in the middle of its body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        ("says nothing", ""),
    ];
    for (what, script) in scripts {
        let bench = quick(|rules| rules.failures = 3);
        let good = Target::named("good").await.unwrap();
        let bad = Target::scripted(script).await.unwrap();
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad.address(), good.address()])])]).await;
        for _ in 0..12 {
            // The answer may be broken as well.
            let _ = bench.connect().await.ask(&get("shop", "/")).await;
        }
        let expected = [TargetCondition::Ejected, TargetCondition::Up];
        assert!(eventually(|| conditions(&bench) == expected).await, "{what}");
        // One more may be on its way when the third is taken note of.
        assert!((3..=4).contains(&bad.connections()), "{what}: {}", bad.connections());
    }
    for (what, status) in [("not found", 404), ("too many requests", 429), ("not implemented", 501)] {
        let bench = quick(|rules| rules.failures = 3);
        let good = Target::named("good").await.unwrap();
        let picky =
            Target::scripted(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n")).await.unwrap();
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[picky.address(), good.address()])])]).await;
        statuses(&bench, 12).await;
        assert_eq!(conditions(&bench), [TargetCondition::Up; 2], "{what}");
    }
}

#[tokio::test]
async fn one_that_never_answers() {
    let bench = Bench::with(|settings| {
        settings.limits = Limits { inactivity_timeout: SHORT, ..brisk() };
        settings.outliers.failures = 2;
        settings.outliers.ejection_time = Duration::from_secs(3600);
        settings.outliers.longest_ejection = Duration::from_secs(3600);
    });
    let good = Target::named("good").await.unwrap();
    let silent = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[silent.address(), good.address()])])]).await;
    let seen = statuses(&bench, 8).await;
    // One more may be on its way when the second is taken note of.
    assert!((2..=3).contains(&seen.iter().filter(|status| **status == 504).count()), "{seen:?}");
    assert!(eventually(|| conditions(&bench)[0] == TargetCondition::Ejected).await);
}

/// A rate far above that of the others, without so many failures in a row.
#[tokio::test]
async fn every_other_answer_is_bad() {
    let bench = quick(|rules| rules.window = Duration::from_secs(1));
    let good = Target::named("good").await.unwrap();
    let number = Arc::new(AtomicUsize::new(0));
    let flaky = Target::start(move |mut wire, _, _| {
        let number = Arc::clone(&number);
        Box::pin(async move {
            while wire.read_request().await?.is_some() {
                let good = number.fetch_add(1, SeqCst).is_multiple_of(2);
                wire.send(if good { GOOD } else { BAD }.as_bytes()).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[flaky.address(), good.address()])])]).await;
    let mut client = bench.connect().await;
    let started = Instant::now();
    while conditions(&bench)[0] != TargetCondition::Ejected {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", bench.proxy.targets());
        client.ask(&get("shop", "/")).await.unwrap();
    }
}

/// The proxy would eject after five failures and sets no limit; one gateway says otherwise, the other one does not.
#[tokio::test]
async fn a_gateway_can_say_how_its_targets_are_looked_after() {
    let bench = quick(|_| {});
    let good = Target::named("good").await.unwrap();
    let (bad, well) = moody().await;
    let targets = [bad.address(), good.address()];
    let usual = |name: &str| gateway(name, vec![route("a", 100, &targets)]);
    let care = |care: TargetCare, name: &str| GatewayConfig { target_care: Some(care), ..usual(name) };
    let careful = TargetCare { eject_after: Some(2), ..TargetCare::default() };
    bench.apply(vec![care(careful.clone(), "careful"), usual("usual")]).await;
    let ejected = |name: &str| {
        let targets = bench.proxy.targets();
        targets.iter().any(|t| t.gateway.as_str() == name && t.condition == TargetCondition::Ejected)
    };
    for name in ["careful", "usual"] {
        for _ in 0..4 {
            bench.connect().await.ask(&get(name, "/")).await.unwrap();
        }
    }
    assert!(eventually(|| ejected("careful")).await, "after two failures");
    assert!(!ejected("usual"), "which was not enough there");
    // The same targets under other rules, live.
    let patient = TargetCare { eject_after: Some(0), ..TargetCare::default() };
    bench.apply(vec![care(careful, "usual"), care(patient, "patient")]).await;
    for _ in 0..20 {
        bench.connect().await.ask(&get("patient", "/")).await.unwrap();
        bench.connect().await.ask(&get("usual", "/")).await.unwrap();
    }
    assert!(eventually(|| ejected("usual")).await);
    assert!(!ejected("patient"), "never");
    well.store(true, SeqCst);
}

#[tokio::test]
async fn a_gateway_can_bound_what_its_targets_get_at_a_time() {
    let bench = Bench::new();
    let (target, gate) = slow().await;
    let usual = gateway("usual", vec![route("a", 100, &[target.address()])]);
    let bounded = TargetCare { requests: Some(1), pending: Some(0), ..TargetCare::default() };
    let bounded = GatewayConfig {
        target_care: Some(bounded),
        ..gateway("bounded", vec![route("a", 100, &[target.address()])])
    };
    bench.apply(vec![usual, bounded]).await;
    let mut first = bench.connect().await;
    first.send(get("bounded", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() == 1).await);
    let refused = bench.connect().await.ask(&get("bounded", "/")).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.field("vamp-proxy-error").as_deref(), Some("overload"));
    let mut others = Vec::new();
    for number in 2..5 {
        let mut client = bench.connect().await;
        client.send(get("usual", "/").as_bytes()).await.unwrap();
        assert!(eventually(|| target.count() == number).await, "no limit there");
        others.push(client);
    }
    gate.add_permits(10);
    assert_eq!(first.read_response().await.unwrap().status(), 200);
}

/// Limits change while requests wait: who waits goes on under the new ones, and no connection notices.
#[tokio::test]
async fn a_limit_that_is_raised_lets_in_who_waits() {
    let bench = Bench::new();
    let (target, gate) = slow().await;
    let bounded = |requests| {
        let care = TargetCare { requests: Some(requests), ..TargetCare::default() };
        GatewayConfig {
            target_care: Some(care),
            ..gateway("shop", vec![route("a", 100, &[target.address()])])
        }
    };
    bench.apply(vec![bounded(1)]).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        clients.push(client);
    }
    let pending = || bench.proxy.targets()[0].pending;
    assert!(eventually(|| target.count() == 1 && pending() == 3).await, "{:?}", bench.proxy.targets());
    bench.apply(vec![bounded(3)]).await;
    assert!(eventually(|| target.count() == 3 && pending() == 1).await, "{:?}", bench.proxy.targets());
    bench.apply(vec![bounded(1)]).await;
    gate.add_permits(1);
    // Two are still there, and one is allowed.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((target.count(), pending()), (3, 1));
    gate.add_permits(100);
    for client in &mut clients {
        assert_eq!(client.read_response().await.unwrap().status(), 200);
        // The connection is as good as before.
        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().status(), 200);
    }
    assert_eq!(target.count(), 8);
}

#[tokio::test]
async fn a_newcomer_starts_slowly() {
    let bench = quick(|rules| rules.slow_start = Duration::from_secs(3600));
    let (old, new) = (Target::named("old").await.unwrap(), Target::named("new").await.unwrap());
    let with = |targets: &[std::net::SocketAddr]| vec![gateway("shop", vec![route("a", 100, targets)])];
    bench.apply(with(&[old.address()])).await;
    assert_eq!(conditions(&bench), [TargetCondition::Up], "nobody to spare it");
    bench.apply(with(&[old.address(), new.address()])).await;
    assert_eq!(conditions(&bench), [TargetCondition::Up, TargetCondition::Starting]);
    statuses(&bench, 100).await;
    assert!(new.count().abs_diff(5) <= 1, "a tenth of its half: {}", new.count());
    bench.apply(with(&[new.address()])).await;
    statuses(&bench, 10).await;
    assert!(new.count() >= 14, "alone it takes all");
}

/// Keeps each request until it is let go.
async fn slow() -> (Target, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let target = Target::start(move |mut wire, _, seen| {
        let gate = Arc::clone(&opened);
        Box::pin(async move {
            while let Some(request) = wire.read_request().await? {
                seen.record(request);
                gate.acquire().await.unwrap().forget();
                wire.send(GOOD.as_bytes()).await?;
            }
            Ok(())
        })
    });
    (target.await.unwrap(), gate)
}

/// How long a request may wait for room.
const PENDING: Duration = Duration::from_secs(15);

fn narrow(requests: u32, pending: u32) -> Bench {
    Bench::with(|settings| {
        settings.limits.target_requests = requests;
        settings.limits.target_pending = pending;
        settings.limits.pending_timeout = PENDING;
    })
}

#[tokio::test]
async fn some_at_a_time_some_wait_and_the_rest_is_refused_at_once() {
    let bench = narrow(2, 1);
    let (target, gate) = slow().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut clients = Vec::new();
    for number in 1..=3_usize {
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        clients.push(client);
        let (there, waiting) = (number.min(2), u32::try_from(number.saturating_sub(2)).unwrap());
        assert!(
            eventually(|| target.count() == there && bench.proxy.targets()[0].pending == waiting).await,
            "{number}"
        );
    }
    let started = Instant::now();
    let refused = bench.connect().await.ask(&get("shop", "/")).await.unwrap();
    assert_eq!((refused.status(), refused.field("vamp-proxy-error").as_deref()), (503, Some("overload")));
    assert!(started.elapsed() < PENDING, "{:?}", started.elapsed());
    assert_eq!(conditions(&bench), [TargetCondition::Up], "that it is busy is not its fault");
    gate.add_permits(3);
    for client in &mut clients {
        assert_eq!(client.read_response().await.unwrap().status(), 200);
    }
    assert_eq!(target.count(), 3);
    assert!(eventually(|| bench.proxy.targets()[0].in_flight == 0).await);
}

#[tokio::test]
async fn who_waits_too_long_is_refused() {
    let bench = Bench::with(|settings| {
        settings.limits.target_requests = 1;
        settings.limits.pending_timeout = Duration::from_millis(100);
    });
    let (target, _gate) = slow().await;
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await;
    let mut first = bench.connect().await;
    first.send(get("shop", "/").as_bytes()).await.unwrap();
    assert!(eventually(|| target.count() == 1).await);
    assert_eq!(statuses(&bench, 1).await, [503]);
    assert!(eventually(|| bench.proxy.targets()[0].pending == 0).await);
    assert_eq!(target.count(), 1);
}

#[tokio::test]
async fn room_elsewhere_comes_before_waiting() {
    let bench = narrow(1, 10);
    let (busy, _gate) = slow().await;
    let free = Target::named("free").await.unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[busy.address(), free.address()])])]).await;
    let mut clients = Vec::new();
    while busy.count() == 0 {
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        assert!(eventually(|| busy.count() + free.count() > clients.len()).await);
        clients.push(client);
    }
    assert_eq!(statuses(&bench, 6).await, [200; 6]);
    assert_eq!(busy.count(), 1);
}

#[tokio::test]
async fn tcp_connections_have_the_same_limits() {
    let bench = narrow(1, 0);
    let echo = Target::start(|mut wire, _, _| {
        Box::pin(async move {
            let bytes = wire.read_exact(4).await?;
            wire.send(&bytes).await?;
            wire.read_to_end().await.map(drop)
        })
    })
    .await
    .unwrap();
    let port = free_port();
    bench.apply(vec![tcp(port, gateway("line", vec![route("a", 100, &[echo.address()])]))]).await;
    let mut first = connect(loopback(port)).await.unwrap();
    first.send(b"ping").await.unwrap();
    assert_eq!(first.read_exact(4).await.unwrap(), b"ping");
    // Reset; so early, perhaps, that connecting already shows it.
    if let Ok(mut second) = connect(loopback(port)).await {
        let _ = second.send(b"ping").await;
        assert!(second.read_exact(4).await.is_err());
    }
    drop(first);
    assert!(eventually(|| bench.proxy.targets()[0].in_flight == 0).await);
    let mut third = connect(loopback(port)).await.unwrap();
    third.send(b"pong").await.unwrap();
    assert_eq!(third.read_exact(4).await.unwrap(), b"pong");
}

/// A target that takes every request and closes: each may be sent again three times, but not all of them.
#[tokio::test]
async fn retries_are_a_fifth_of_the_requests_and_what_was_saved() {
    let bench = Bench::with(|settings| settings.outliers.failures = 0);
    let dying = Target::start(|mut wire, _, seen| {
        Box::pin(async move {
            if let Some(request) = wire.read_request().await? {
                seen.record(request);
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[dying.address()])])]).await;
    let started = Instant::now();
    let mut client = bench.connect().await;
    for _ in 0..500 {
        assert_eq!(client.ask(&get("shop", "/")).await.unwrap().status(), 502);
    }
    let earned = 100 + 500 / 5 + started.elapsed().as_millis() as usize / 100;
    let retries = dying.count() - 500;
    assert!(retries >= 200 && retries <= earned + 1, "{retries}, {earned} earned");
    let status = bench.proxy.gateways().remove(0);
    assert!(status.retries_refused > 0 && status.retries_left < 10, "{status:?}");
}

#[tokio::test]
async fn no_attempt_begins_after_the_deadline() {
    let bench = Bench::with(|settings| settings.limits.attempts_timeout = Duration::ZERO);
    let good = Target::named("good").await.unwrap();
    bench
        .apply(vec![gateway("shop", vec![route("a", 100, &[refused().await.unwrap(), good.address()])])])
        .await;
    let mut seen = statuses(&bench, 2).await;
    seen.sort_unstable();
    assert_eq!(seen, [200, 503]);
}

/// What fails while it is left out does not keep it out.
#[tokio::test]
async fn answers_that_come_late_do_not_count_twice() {
    let bench = quick(|rules| rules.failures = 1);
    let good = Target::named("good").await.unwrap();
    let back = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&back);
    let bad = Target::start(move |mut wire, number, seen| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            if number >= 4 {
                return answer_all(wire, seen, "back".into()).await;
            }
            if wire.read_request().await?.is_some() {
                gate.acquire().await.unwrap().forget();
                wire.send(BAD.as_bytes()).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    bench.apply(vec![gateway("shop", vec![route("a", 100, &[bad.address(), good.address()])])]).await;
    let mut clients = Vec::new();
    while bad.connections() < 4 {
        let mut client = bench.connect().await;
        client.send(get("shop", "/").as_bytes()).await.unwrap();
        clients.push(client);
        assert!(eventually(|| bad.connections() + good.count() >= clients.len()).await);
    }
    back.add_permits(4);
    assert!(eventually(|| bench.proxy.targets().iter().all(|target| target.in_flight == 0)).await);
    assert!(eventually(|| bench.proxy.targets()[0].ejections == 1).await);
}
