//! What goes on while things change or fail (gateways 12, 13, 17, 19, R12, R22.7, R29, R32, R41): connections, requests under way,
//! dead targets, sources that cannot be read, restarts.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Echo, Report, counts, pause, port_of, send, send_with, tally, weights_of};
use crate::harness::{PATIENCE, Pod, Vamp, eventually};

/// Sends one request on a connection that stays open; the name of the target that answered.
async fn again(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    let read = async {
        loop {
            let n = stream.read(&mut buffer).await?;
            text.extend_from_slice(&buffer[..n]);
            let reply = super::parse(&text);
            let whole = reply.header("content-length").is_some_and(|n| n.parse() == Ok(reply.body.len()));
            if n == 0 || whole {
                return Ok(reply.from());
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| Ok("no answer".to_owned()))
}

/// Applying a change never drops established connections (19).
#[tokio::test(flavor = "multi_thread")]
async fn connections_outlive_changes() {
    let vamp = Vamp::start().await;
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut report = Report::new("connections over changes");
    let document = |name: &str, port: &str, one: u8| {
        format!(
            "name: {name}\nport: {port}\nroutes: {{\"{}\": {{weight: {one}%}}, \"{}\": {{weight: {}%}}}}",
            a.path(),
            b.path(),
            100 - one
        )
    };
    let (http, tcp) = (format!("{}/http", vamp.first_port + 40), format!("{}/tcp", vamp.first_port + 41));
    vamp.gateway(&document("web", &http, 100)).await;
    vamp.gateway(&document("bytes", &tcp, 100)).await;
    let mut kept = TcpStream::connect(("127.0.0.1", vamp.first_port + 40)).await.unwrap();
    let mut raw = TcpStream::connect(("127.0.0.1", vamp.first_port + 41)).await.unwrap();
    for round in 0..10 {
        let one = if round % 2 == 0 { 100 } else { 0 };
        let expected = if round % 2 == 0 { "a" } else { "b" };
        for (name, port) in [("web", &http), ("bytes", &tcp)] {
            let path = format!("/gateways/{name}?wait=applied");
            report.same("PUT", vamp.put(&path, &document(name, port, one)).await.status, 202);
        }
        vamp.gateway(&format!("name: other{round}")).await;
        let seen = again(&mut kept).await.unwrap_or_else(|problem| problem.to_string());
        report.same(&format!("19 a kept connection follows change {round}"), seen, expected.to_owned());
        let seen = again(&mut raw).await.unwrap_or_else(|problem| problem.to_string());
        report.same(&format!("19 a tcp connection stays where it is, change {round}"), seen, "a".to_owned());
    }
    report.finish();
}

/// A target whose first answer waits until it is told; the others come at once.
async fn slow() -> (std::net::SocketAddr, tokio::sync::oneshot::Sender<()>, tokio::sync::oneshot::Receiver<()>)
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, released) = tokio::sync::oneshot::channel();
    let (started, start) = tokio::sync::oneshot::channel();
    let first = Arc::new(Mutex::new(Some((started, released))));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let first = Arc::clone(&first);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                // Connection checks send nothing.
                if !stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    return;
                }
                let waits = first.lock().unwrap().take();
                if let Some((started, released)) = waits {
                    let _ = started.send(());
                    let _ = released.await;
                }
                let answer =
                    b"HTTP/1.1 200 OK\r\nx-target: slow\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (address, release, start)
}

/// A pod that turns unready leaves, requests in flight finish (R41); so with a route, and with the gateway itself.
#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_finish() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("requests under way");
    for (rule, name) in [
        ("R41 the pod turns unready", "unready"),
        ("R41 the pod goes", "gone"),
        ("19 the route goes", "route"),
        ("19 the gateway is deleted", "deleted"),
    ] {
        let (address, release, started) = slow().await;
        let pod = |ready| {
            vamp.pod(&Pod { name, labels: &[("app", name)], address, ready });
        };
        pod(true);
        let selector = format!("name: {name}\nselector: label(app)({name})");
        let explicit = format!("name: {name}\nroutes: [\"[{address}]\"]");
        let body =
            vamp.gateway(if name == "unready" || name == "gone" { &selector } else { &explicit }).await;
        vamp.targets(name, 1).await;
        let port = port_of(&body);
        let request = tokio::spawn(async move { send(("127.0.0.1", port), "GET /").await.from() });
        tokio::time::timeout(PATIENCE, started).await.expect("the request arrives").unwrap();
        match name {
            "unready" => pod(false),
            "gone" => vamp.remove_pod(name),
            "route" => {
                let answer = vamp.put("/gateways/route?wait=applied", "name: route").await;
                report.same("PUT", answer.status, 202);
            }
            _ => report.same("DELETE", vamp.delete("/gateways/deleted?wait=applied").await.status, 202),
        }
        if name == "unready" || name == "gone" {
            eventually("the target to leave", || async {
                let seen = send(("127.0.0.1", port), "GET /").await.status;
                (seen == 503).then_some(())
            })
            .await;
        }
        release.send(()).unwrap();
        report.same(rule, request.await.unwrap(), "slow".to_owned());
    }
    report.finish();
}

/// Dead targets (13, R29, R32): retried inside the route, then left out; a dead route's share goes to the others.
#[tokio::test(flavor = "multi_thread")]
async fn dead_targets() {
    let vamp = Vamp::start().await;
    let live = Echo::start("live").await;
    let other = Echo::start("other").await;
    let mut report = Report::new("dead targets");
    let gone = testkit::target::refused().await.unwrap();
    vamp.pod(&Pod { name: "live", labels: &[("app", "half")], address: live.address, ready: true });
    vamp.pod(&Pod { name: "dead", labels: &[("app", "half")], address: gone, ready: true });
    let port = port_of(&vamp.gateway("name: half\nselector: label(app)(half)").await);
    vamp.targets("half", 2).await;
    let seen = tally(("127.0.0.1", port), "GET /", 20).await;
    report.same("13 a failed connection is tried on another target", seen, counts(&[("live", 20)]));
    let reply = send_with(("127.0.0.1", port), "POST /", Some("body")).await;
    report.same("13 also with a body: nothing was sent", reply.from(), "live".to_owned());

    // A route whose only target is dead: R29 once that is known; never a route at 0%.
    let document = |one: u8, two: u8| {
        format!(
            "name: canary\nroutes: {{\"[{gone}]\": {{weight: {one}%}}, \"{}\": {{weight: {two}%}}}}",
            other.path()
        )
    };
    let port = port_of(&vamp.gateway(&document(50, 50)).await);
    let deadline = Instant::now() + PATIENCE;
    while tally(("127.0.0.1", port), "GET /", 10).await != counts(&[("other", 10)])
        && Instant::now() < deadline
    {
        pause().await;
    }
    let seen = tally(("127.0.0.1", port), "GET /", 20).await;
    report.same("R29 the share of a dead route", seen, counts(&[("other", 20)]));
    let answer = vamp.put("/gateways/canary?wait=applied", &document(100, 0)).await;
    report.same("PUT", answer.status, 202);
    let seen = send(("127.0.0.1", port), "GET /").await;
    report.same(
        "R29 a route at 0% gets nothing that way",
        (seen.status, seen.header("x-target")),
        (503, None),
    );
    // It comes back to life (R32).
    let answer = vamp.put("/gateways/canary?wait=applied", &document(50, 50)).await;
    report.same("PUT", answer.status, 202);
    let _back = Echo::start_on("back", gone).await;
    let deadline = Instant::now() + PATIENCE;
    while tally(("127.0.0.1", port), "GET /", 10).await != counts(&[("other", 5), ("back", 5)])
        && Instant::now() < deadline
    {
        pause().await;
    }
    let seen = tally(("127.0.0.1", port), "GET /", 20).await;
    report.same("R32 back after a while", seen, counts(&[("other", 10), ("back", 10)]));
    report.finish();
}

/// A source that cannot be read changes nothing (R22.7).
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_inventory() {
    let vamp = Vamp::start().await;
    let one = Echo::start("1").await;
    let two = Echo::start("2").await;
    let mut report = Report::new("unreadable inventory");
    let pod = |version: &str, address| {
        let labels = [("app", "shop"), ("version", version)];
        vamp.pod(&Pod { name: &format!("shop-{version}"), labels: &labels, address, ready: true });
    };
    pod("1", one.address);
    pod("2", two.address);
    let port = port_of(&vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await);
    eventually("two routes", || async {
        (vamp.get("/gateways/shop").await.body["routes"].as_object()?.len() == 2).then_some(())
    })
    .await;
    let weights = "name: shop\nselector: label(app)(shop) && label(version)((.*))\nroutes: {(1): {weight: 50%}, (2): {weight: 50%}}";
    report.same("PUT", vamp.put("/gateways/shop?wait=applied", weights).await.status, 202);
    let before = vamp.get("/gateways/shop").await.body;
    for (what, text) in [
        ("no JSON", "{\"kind\": \"Pod\", "),
        ("no YAML", "a: [b\n  c: }"),
        ("another type", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": 5}"),
    ] {
        vamp.inventory("shop-1.json", text);
        eventually(&format!("the problem to be told: {what}"), || async {
            let status = vamp.get("/status").await.body;
            (!status["platform"]["problem"].is_null()).then_some(())
        })
        .await;
        report.same(
            &format!("R22.7 {what}: nothing changes"),
            vamp.get("/gateways/shop").await.body,
            before.clone(),
        );
        let seen = tally(("127.0.0.1", port), "GET /", 10).await;
        report.same(&format!("R22.7 {what}: traffic goes on"), seen, counts(&[("1", 5), ("2", 5)]));
        pod("1", one.address);
        eventually("the problem to be over", || async {
            let status = vamp.get("/status").await.body;
            status["platform"]["problem"].is_null().then_some(())
        })
        .await;
    }
    report.same("R22.7 afterwards", vamp.get("/gateways/shop").await.body, before);
    report.finish();
}

/// A restart repeats no event and keeps documents, ports, weights, absent routes and their retention.
#[tokio::test(flavor = "multi_thread")]
async fn restarts() {
    let mut vamp = Vamp::start_with(&["--route-retention", "3s"]).await;
    let mut report = Report::new("restarts");
    let targets = [Echo::start("1").await, Echo::start("2").await, Echo::start("3").await];
    for (version, target) in ["1", "2", "3"].iter().zip(&targets) {
        let labels = [("app", "shop"), ("version", *version)];
        vamp.pod(&Pod {
            name: &format!("shop-{version}"),
            labels: &labels,
            address: target.address,
            ready: true,
        });
    }
    vamp.gateway("name: shop\nselector: label(app)(shop) && label(version)((.*))").await;
    vamp.gateway(&format!("name: plain\nroutes: [\"{}\"]", targets[0].path())).await;
    vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%"), ("(3)", "0%")]).await;
    let weights = "name: shop\nselector: label(app)(shop) && label(version)((.*))\nroutes: {(1): {weight: 10%}, (2): {weight: 20%, condition: has header X}, (3): {weight: 70%}}";
    report.same("PUT", vamp.put("/gateways/shop?wait=applied", weights).await.status, 202);
    // Names and ports are settled; what is told of a moment ago is stored before the restart.
    eventually("the deployed events", || async {
        let events = vamp.get("/events?tag=deployed").await.body;
        (events.as_array().map(Vec::len) == Some(2)).then_some(())
    })
    .await;
    let events = async |vamp: &Vamp| -> Vec<String> {
        let list = vamp.get("/events?type=event").await.body;
        list.as_array().into_iter().flatten().map(|event| event["tags"].to_string()).collect()
    };
    let before = (vamp.get("/gateways").await.body, events(&vamp).await);
    for round in 0..2 {
        vamp.crash_and_restart().await;
        vamp.routes("shop", &[("(1)", "10%"), ("(2)", "20%"), ("(3)", "70%")]).await;
        let after = (vamp.get("/gateways").await.body, events(&vamp).await);
        report.same(&format!("restart {round}: documents"), after.0.to_string(), before.0.to_string());
        report.same(&format!("R43 restart {round}: no event again"), after.1, before.1.clone());
    }
    let port = port_of(&vamp.get("/gateways/shop").await.body);
    let seen = tally(("127.0.0.1", port), "GET /", 10).await;
    report.same("restart: traffic", seen, counts(&[("1", 1), ("2", 2), ("3", 7)]));
    let revision =
        |answer: &crate::harness::Answer| answer.header("vamp-revision").and_then(|r| r.parse::<u64>().ok());
    let write = async |vamp: &Vamp, note: &str| {
        let document =
            format!("name: plain\nmetadata: {{note: {note}}}\nroutes: [\"{}\"]", targets[0].path());
        revision(&vamp.put("/gateways/plain", &document).await)
    };
    let first = write(&vamp, "before").await;
    vamp.crash_and_restart().await;
    let second = write(&vamp, "after").await;
    report.holds("revisions go on growing", first.is_some() && second > first, (first, second));

    // A route is absent, Vamp restarts: still absent, then removed (R22.3, R22.5).
    vamp.remove_pod("shop-3");
    // Or gone: on a slow machine the retention may be over before this looks.
    eventually("(3) to be absent", || async {
        let route = vamp.get("/gateways/shop").await.body["routes"]["(3)"].clone();
        (route.is_null() || route["targets"] == json!([])).then_some(())
    })
    .await;
    vamp.crash_and_restart().await;
    let body = vamp.get("/gateways/shop").await.body;
    // By now as well.
    let absent = ["(1)=10%", "(2)=20%", "(3)=70%"].map(str::to_owned).to_vec();
    let removed = ["(1)=33%", "(2)=67%"].map(str::to_owned).to_vec();
    let seen = weights_of(&body);
    report.holds("R22.3 over a restart", seen == absent || seen == removed, &seen);
    vamp.routes("shop", &[("(1)", "33%"), ("(2)", "67%")]).await;
    let events = vamp.get("/events?tag=gateways:shop&tag=route:removed").await.body;
    report.same("R43 told once", events.as_array().map(Vec::len), Some(1));

    // Everything is absent over a restart (R22.6).
    for version in ["1", "2"] {
        vamp.remove_pod(&format!("shop-{version}"));
    }
    eventually("503", || async { (send(("127.0.0.1", port), "GET /").await.status == 503).then_some(()) })
        .await;
    vamp.crash_and_restart().await;
    let seen = weights_of(&vamp.get("/gateways/shop").await.body);
    report.same("R22.6 over a restart", seen, removed);
    let condition: Value = vamp.get("/gateways/shop").await.body["routes"]["(2)"]["condition"].clone();
    report.same("R22.6 with conditions", condition, json!({"condition": "has header X"}));
    report.same("R22.6 503", send(("127.0.0.1", port), "GET /").await.from(), "503 no_target".to_owned());
    report.finish();
}

/// The safety net for chains that no write could show to be cycles (R12).
#[tokio::test(flavor = "multi_thread")]
async fn too_many_hops() {
    let vamp = Vamp::start().await;
    let target = Echo::start("a").await;
    let mut report = Report::new("hops");
    for hop in 0..18 {
        let route = if hop == 0 { target.path() } else { format!("hop{}", hop - 1) };
        let port = port_of(&vamp.gateway(&format!("name: hop{hop}\nroutes: [\"{route}\"]")).await);
        let seen = send(("127.0.0.1", port), "GET /").await;
        // A request that passes 16 gateways is served or not; the specification counts hops, not where they begin.
        match hop + 1 {
            1..=15 => report.same(&format!("17 {} gateways", hop + 1), seen.from(), "a".to_owned()),
            18.. => report.same("R12 508 after 16 hops", seen.status, 508),
            _ => {}
        }
    }
    // Not only chains by name: an address of the gateway itself.
    let own = vamp.first_port + 50;
    vamp.gateway(&format!("name: itself\nport: {own}\nroutes: [\"[127.0.0.1:{own}]\"]")).await;
    report.same("R12 508 by address", send(("127.0.0.1", own), "GET /").await.status, 508);
    report.finish();
}
