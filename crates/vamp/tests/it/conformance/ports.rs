//! Ports of gateways (gateways 6, R6, R7, R13, R14): given and assigned.

use super::{Echo, Report, port_of, send};
use crate::harness::{Vamp, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn assigned_ports() {
    let vamp = Vamp::start_sized(&[], 8).await;
    let mut report = Report::new("assigned ports");
    let first = vamp.first_port;
    let text = |offset: u16| format!("{}/http", first + offset);
    let create = async |body: &str| {
        let answer = vamp.post("/gateways", body).await;
        (answer.status, answer.body["port"].as_str().unwrap_or_default().to_owned())
    };

    report.same("R13 the lowest of the range, shown at once", create("name: a").await, (202, text(0)));
    report.same("6 null", create("name: b\nport: ~").await, (202, text(1)));
    report.same("6 0", create("name: c\nport: 0").await, (202, text(2)));
    report.same(
        "6 an explicit port inside the range",
        create(&format!("name: d\nport: {}", first + 3)).await,
        (202, format!("{}", first + 3)),
    );
    report.same("6 the assigner skips it", create("name: e").await, (202, text(4)));
    let trial = vamp.post("/gateways?validate_only=true", "name: trial").await;
    report.same("6 a trial is accepted", trial.status, 202);
    report.same("6 and reserves nothing", create("name: f").await, (202, text(5)));
    report.same("21 DELETE", vamp.delete("/gateways/b").await.status, 202);
    report.same("R13 ports of deleted gateways are reusable", create("name: g").await, (202, text(1)));
    report.same("21 DELETE of an explicit port", vamp.delete("/gateways/d").await.status, 202);
    report.same("R13 explicit ones too", create("name: h").await, (202, text(3)));
    report.same("6 the rest", create("name: i").await, (202, text(6)));
    report.same("6 the last", create("name: j").await, (202, text(7)));
    let answer = vamp.post("/gateways", "name: k").await;
    report.holds(
        "R13 exhausted",
        answer.status == 409 && answer.message().to_lowercase().contains("no port available in the range"),
        (answer.status, &answer.body),
    );
    report.same("5 and nothing is stored", vamp.get("/gateways/k").await.status, 404);

    // R14: a PUT without port keeps an assigned one.
    for (rule, body) in [
        ("R14 no port", "name: f\nsticky: route"),
        ("R14 null", "name: f\nport: ~"),
        ("R14 0", "name: f\nport: 0"),
    ] {
        let answer = vamp.put("/gateways/f", body).await;
        report.same(rule, (answer.status, answer.body["port"].as_str()), (202, Some(text(5).as_str())));
    }
    report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates() {
    let vamp = Vamp::start_sized(&[], 40).await;
    let mut report = Report::new("concurrent creates");
    let vamp = std::sync::Arc::new(vamp);
    let tasks: Vec<_> = (0..30)
        .map(|index| {
            let vamp = std::sync::Arc::clone(&vamp);
            tokio::spawn(async move { vamp.post("/gateways", &format!("name: c{index}")).await })
        })
        .collect();
    let mut ports = Vec::new();
    for task in tasks {
        let answer = task.await.unwrap();
        report.same("R13 accepted", answer.status, 202);
        ports.push(port_of(&answer.body));
    }
    ports.sort_unstable();
    report.same(
        "R13 no port twice, and the lowest ones",
        ports,
        (vamp.first_port..vamp.first_port + 30).collect(),
    );
    report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn given_ports() {
    let vamp = Vamp::start_sized(&[], 40).await;
    let target = Echo::start("a").await;
    let mut report = Report::new("given ports");
    // Outside of the range: the last ports of this server's own block, kept out of the range below.
    let port = |offset: u16| vamp.first_port + 20 + offset;
    let routes = format!("routes: [\"{}\"]", target.path());
    let rows = [
        ("1.1 number", format!("port: {}", port(0)), format!("{}", port(0)), format!("{}/http", port(0))),
        ("1.1 text", format!("port: \"{}\"", port(1)), format!("{}", port(1)), format!("{}/http", port(1))),
        (
            "1.1 http",
            format!("port: {}/http", port(2)),
            format!("{}/http", port(2)),
            format!("{}/http", port(2)),
        ),
        ("1.1 tcp", format!("port: {}/tcp", port(3)), format!("{}/tcp", port(3)), format!("{}/tcp", port(3))),
    ];
    for (index, (rule, text, shown, service)) in rows.iter().enumerate() {
        let body = vamp.gateway(&format!("name: g{index}\n{text}\n{routes}")).await;
        report.same(&format!("4 {rule}: the text as given"), body["port"].as_str(), Some(shown.as_str()));
        report.same(
            &format!("api 8 {rule}: service.port has its type"),
            body["service"]["port"].as_str(),
            Some(service.as_str()),
        );
        report.same(
            &format!("api 8 {rule}: service.host"),
            body["service"]["host"].as_str(),
            Some("127.0.0.1"),
        );
        let seen = send(("127.0.0.1", port_of(&body)), "GET / | Host: any.host").await.from();
        report.same(&format!("1 {rule}: it listens, for any Host"), seen, "a".to_owned());
    }

    // Changing the port by PUT (6): the new one serves, the old one is closed.
    let answer =
        vamp.put("/gateways/g0?wait=applied", &format!("name: g0\nport: {}\n{routes}", port(10))).await;
    report.same(
        "6 the port changes by PUT",
        (answer.status, answer.body["port"].as_str()),
        (202, Some(format!("{}", port(10)).as_str())),
    );
    report.same("6 the new port serves", send(("127.0.0.1", port(10)), "GET /").await.from(), "a".to_owned());
    let old = port(0);
    eventually("the old port to be closed", || async {
        (send(("127.0.0.1", old), "GET /").await.status == 0).then_some(())
    })
    .await;
    let answer = vamp.post("/gateways", &format!("name: again\nport: {old}")).await;
    report.same("R13 the old port is free", answer.status, 202);

    // From http to tcp and back on the same port.
    let answer =
        vamp.put("/gateways/g1?wait=applied", &format!("name: g1\nport: {}/tcp\n{routes}", port(1))).await;
    report.same(
        "6 the type changes by PUT",
        (answer.status, answer.body["service"]["port"].as_str()),
        (202, Some(format!("{}/tcp", port(1)).as_str())),
    );
    let reply = send(("127.0.0.1", port(1)), "GET /").await;
    report.same("16 bytes now", (reply.from(), reply.received("x-forwarded-for")), ("a".to_owned(), vec![]));

    // A deleted gateway's port closes.
    report.same("21 DELETE", vamp.delete("/gateways/g2?wait=applied").await.status, 202);
    let gone = port(2);
    eventually("the port of a deleted gateway to close", || async {
        (send(("127.0.0.1", gone), "GET /").await.status == 0).then_some(())
    })
    .await;
    report.finish();
}
