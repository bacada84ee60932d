//! Virtual hosts (gateways 15, R11, R35, E13): automatic names and the shared listener.

use serde_json::json;

use super::{Echo, Report, port_of, send};
use crate::harness::{Answer, Vamp};

#[tokio::test(flavor = "multi_thread")]
async fn names() {
    let vamp = Vamp::start().await;
    let mut report = Report::new("virtual host names");
    let hosts = |answer: &Answer| answer.body["virtual_hosts"].clone();
    let rows = [
        ("15 one segment", "sava-product", json!([]), json!(["sava-product.vamp"])),
        ("15 other characters become -", "my_gw", json!([]), json!(["my-gw.vamp"])),
        ("15 two segments", "sava:1.0/9050", json!([]), json!(["9050.sava-1-0.vamp"])),
        ("15 two plain segments", "shop/web", json!([]), json!(["web.shop.vamp"])),
        ("15 four segments", "a/b/c/d", json!([]), json!([])),
        ("15 four segments with a host", "a/b/c/e", json!(["e.example"]), json!(["e.example"])),
        ("R35 lower-cased", "ShOP", json!([]), json!(["shop.vamp"])),
        (
            "15 put in front",
            "front",
            json!(["z.example", "b.example"]),
            json!(["front.vamp", "z.example", "b.example"]),
        ),
        (
            "15 duplicates removed",
            "twice",
            json!(["twice.vamp", "c.example", "c.example"]),
            json!(["twice.vamp", "c.example"]),
        ),
    ];
    for (rule, name, given, expected) in &rows {
        let answer = vamp.post("/gateways", &json!({"name": name, "virtual_hosts": given}).to_string()).await;
        report.same(&format!("{rule}: {name}"), (answer.status, hosts(&answer)), (202, expected.clone()));
        let read = vamp.get(&format!("/gateways/{name}")).await;
        report.same(&format!("15 stored, visible: {name}"), hosts(&read), expected.clone());
        let again = vamp.put(&format!("/gateways/{name}"), &read.body.to_string()).await;
        report.same(&format!("4 round trip: {name}"), (again.status, hosts(&again)), (202, expected.clone()));
    }
    // An automatic name that another gateway has is left out silently (R35).
    let answer = vamp.post("/gateways", &json!({"name": "my-gw"}).to_string()).await;
    report.same("R35 collision of automatic names", (answer.status, hosts(&answer)), (202, json!([])));
    vamp.gateway("name: holder\nvirtual_hosts: [late.vamp]").await;
    let answer = vamp.post("/gateways", "name: late").await;
    report.same("R35 collision with an explicit name", (answer.status, hosts(&answer)), (202, json!([])));
    // An explicit name that another gateway has is refused (R11).
    let answer = vamp.post("/gateways", "name: thief\nvirtual_hosts: [sava-product.vamp]").await;
    report.holds(
        "R11 automatic name of another",
        answer.status == 400 && answer.message().contains("sava-product.vamp"),
        &answer.body,
    );
    let answer = vamp.put("/gateways/late", "name: late\nvirtual_hosts: [z.example]").await;
    report.holds("R11 explicit name of another, update", answer.status == 400, &answer.body);
    // Names are free again when they are given up.
    let answer = vamp.put("/gateways/front", "name: front\nvirtual_hosts: [b.example]").await;
    report.same("15 update", (answer.status, hosts(&answer)), (202, json!(["front.vamp", "b.example"])));
    let answer = vamp.post("/gateways", "name: next\nvirtual_hosts: [z.example]").await;
    report.same("R11 given up", (answer.status, hosts(&answer)), (202, json!(["next.vamp", "z.example"])));
    report.same("21 DELETE", vamp.delete("/gateways/next").await.status, 202);
    let answer = vamp.post("/gateways", "name: after\nvirtual_hosts: [z.example, next.vamp]").await;
    report.same("R11 of a deleted gateway", answer.status, 202);
    report.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shared_listener() {
    let vamp = Vamp::start().await;
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let mut report = Report::new("shared listener");
    let shared = vamp.hosts.clone();
    let ask = async |request: &str| send(&*shared, request).await.from();
    let missing = "404 no_gateway";

    report.same("R35 nothing there yet", ask("GET / | Host: cart.vamp").await, missing.to_owned());
    let body = vamp
        .gateway(&format!("name: cart\nvirtual_hosts: [ie.tutorials.vamp.cloud]\nroutes: [\"{}\"]", a.path()))
        .await;
    report.same("E13 hosts", body["virtual_hosts"].clone(), json!(["cart.vamp", "ie.tutorials.vamp.cloud"]));
    report.same("E13 port", body["port"].as_str(), Some(format!("{}/http", vamp.first_port).as_str()));
    vamp.gateway(&format!("name: web/shop\nroutes: [\"{}\"]", b.path())).await;
    let port = port_of(&body);
    let rows = [
        ("E13 exact", "ie.tutorials.vamp.cloud", "a"),
        ("E13 ignoring case", "IE.tutorials.VAMP.cloud", "a"),
        ("15 automatic name", "cart.vamp", "a"),
        ("R35 a port is ignored", "cart.vamp:80", "a"),
        ("R35 another port is ignored", "cart.vamp:12345", "a"),
        ("R35 a trailing dot is ignored", "cart.vamp.", "a"),
        ("R35 trailing dot and port", "Cart.Vamp.:8080", "a"),
        ("15 two segments", "shop.web.vamp", "b"),
        ("E13 other", "uk.tutorials.vamp.cloud", missing),
        ("15 exact: no suffix", "x.cart.vamp", missing),
        ("15 exact: no prefix", "cart.vam", missing),
        ("15 exact: no wildcard", "cart", missing),
        ("15 not by address", "127.0.0.1", missing),
    ];
    for (rule, host, expected) in rows {
        report.same(
            &format!("{rule}: {host}"),
            ask(&format!("GET /x | Host: {host}")).await,
            expected.to_owned(),
        );
        let own = send(("127.0.0.1", port), &format!("GET /x | Host: {host}")).await.from();
        report.same(&format!("E13 the own port serves any Host: {host}"), own, "a".to_owned());
    }
    let reply = send(&*shared, "GET / | Host: nobody.example").await;
    report.holds(
        "R35 404 with a short text",
        reply.status == 404 && !reply.body.is_empty() && reply.body.len() < 500,
        &reply,
    );

    // The gateway's own rules apply unchanged.
    let document = format!(
        "name: rules\nsticky: route\nroutes: {{\"{}\": {{weight: 100%}}, \"{}\": {{weight: 0%, condition: host == beta.example or has header X-Beta}}}}\nvirtual_hosts: [beta.example, rules.example]",
        a.path(),
        b.path()
    );
    vamp.gateway(&document).await;
    report.same("15 weights", ask("GET / | Host: rules.example").await, "a".to_owned());
    report.same("15 conditions", ask("GET / | Host: rules.example | X-Beta: 1").await, "b".to_owned());
    report.same("15 conditions on the host", ask("GET / | Host: beta.example:80").await, "b".to_owned());
    let reply = send(&*shared, "GET / | Host: rules.example").await;
    report.holds("15 stickiness", reply.cookie("vamp_r_").is_some(), &reply);
    // A cookie of the shared listener is valid on the own port: it is the same gateway.
    vamp.gateway("name: none\nvirtual_hosts: [none.example]").await;
    report.same("11.1 no routes", ask("GET / | Host: none.example").await, "503 no_target".to_owned());

    // Only http gateways take part (R35).
    vamp.gateway(&format!("name: bytes\nport: {}/tcp\nroutes: [\"{}\"]", vamp.first_port + 30, a.path()))
        .await;
    report.same("R35 tcp gateways take no part", ask("GET / | Host: bytes.vamp").await, missing.to_owned());

    // Changes and removal.
    let changed = format!("name: cart\nvirtual_hosts: [uk.tutorials.vamp.cloud]\nroutes: [\"{}\"]", a.path());
    report.same("15 PUT", vamp.put("/gateways/cart?wait=applied", &changed).await.status, 202);
    report.same("15 the new host", ask("GET / | Host: uk.tutorials.vamp.cloud").await, "a".to_owned());
    report.same(
        "15 the old host is gone",
        ask("GET / | Host: ie.tutorials.vamp.cloud").await,
        missing.to_owned(),
    );
    report.same("15 the automatic name stays", ask("GET / | Host: cart.vamp").await, "a".to_owned());
    report.same("21 DELETE", vamp.delete("/gateways/cart?wait=applied").await.status, 202);
    report.same("15 hosts of a deleted gateway", ask("GET / | Host: cart.vamp").await, missing.to_owned());
    report.finish();
}
