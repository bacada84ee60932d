//! What a client says and the proxy writes elsewhere: paths made by rewrites, cookies, addresses.

use model::gateway::Sticky;
use testkit::target::Target;

use super::{believe, render};
use crate::support::{Bench, gateway, rewrites, route, sticky};

/// Values that would end a path, a line or a head if they were written as they are.
const VALUES: &[&str] = &[
    "a b",
    "a HTTP/1.1",
    "a?b#c",
    "%0d%0aX: y",
    "a%20HTTP/1.1%0d%0aHost:%20other",
    "a\tb",
    "\u{e9}\u{2028}",
    "//other.test/",
    "../../x",
    "a\"b'c<d>e\\f",
    "%",
    "%%0a",
];

#[tokio::test]
async fn rewrites_write_one_path() {
    let target = Target::start(|wire, _, seen| Box::pin(believe(wire, seen))).await.unwrap();
    let bench = Bench::with(|settings| settings.workers = 1);
    let rules = ["/h/%[req.hdr(X-Id)]/%[path] if always_true"];
    bench.apply(vec![gateway("shop", vec![rewrites(&rules, route("a", 100, &[target.address()]))])]).await;
    let mut client = bench.connect().await;
    for (number, value) in VALUES.iter().enumerate() {
        let request = format!("GET /p{number} HTTP/1.1\r\nHost: shop.test\r\nX-Id: {value}\r\n\r\n");
        assert_eq!(client.ask(&request).await.unwrap().status(), 200, "{value:?}");
        let seen = target.last().unwrap();
        let parts: Vec<&str> = seen.start.split(' ').collect();
        assert!(
            matches!(parts[..], ["GET", path, "HTTP/1.1"] if path.starts_with("/h/") && path.is_ascii()),
            "{seen:?}"
        );
        assert_eq!(
            seen.fields.iter().filter(|(name, _)| name == "Host" || name == "X-Id").count(),
            2,
            "{seen:?}"
        );
    }
    assert_eq!(target.count(), VALUES.len());
}

/// The ids in cookies come from the table, never from the client; what comes from the client means something or nothing.
#[tokio::test]
async fn cookies_say_what_the_table_says() {
    let target = Target::start(|wire, _, seen| Box::pin(believe(wire, seen))).await.unwrap();
    let bench = Bench::with(|settings| settings.workers = 1);
    let shop =
        gateway("shop", vec![route("a", 50, &[target.address()]), route("b", 50, &[target.address()])]);
    bench.apply(vec![sticky(Sticky::Route, shop)]).await;
    let mut client = bench.connect().await;
    for value in
        ["0.x\u{e9}", "0.\"", "0.a=b", "x", "", "0.lookup-c", "99999999999.lookup-a", "0.lookup-a%0d%0aX: y"]
    {
        let cookie = format!("a=b; vamp_r_lookup-shop={value}; c=d");
        let answer = client
            .ask(&format!("GET /p HTTP/1.1\r\nHost: shop.test\r\nCookie: {cookie}\r\n\r\n"))
            .await
            .unwrap();
        let set = answer.field("set-cookie").unwrap_or_default();
        let ids = ["lookup-a", "lookup-b"];
        assert!(
            ids.iter().any(|id| set == format!("vamp_r_lookup-shop=0.{id}; Path=/; HttpOnly; SameSite=Lax")),
            "{value:?}: {set}"
        );
        assert_eq!(
            render(&target.last().unwrap()),
            "GET /p HTTP/1.1|Host: shop.test|Cookie: a=b; c=d",
            "{value:?}"
        );
    }
}

#[tokio::test]
async fn addresses_of_clients_are_appended_and_stay_one_field() {
    let target = Target::start(|wire, _, seen| Box::pin(believe(wire, seen))).await.unwrap();
    let bench = super::serving(&target).await;
    let mut client = bench.connect().await;
    for (sent, expected) in [
        ("X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4, 127.0.0.1"),
        ("X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: a, b\r\n", "1.2.3.4, a, b, 127.0.0.1"),
        ("X-Forwarded-For:\r\n", "127.0.0.1"),
        ("X-Forwarded-For: \"x\"%0d%0a\r\n", "\"x\"%0d%0a, 127.0.0.1"),
        ("X-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\n", "127.0.0.1"),
    ] {
        client.ask(&format!("GET /p HTTP/1.1\r\nHost: shop.test\r\n{sent}\r\n")).await.unwrap();
        let seen = target.last().unwrap();
        let of = |name: &str| {
            seen.fields
                .iter()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, v)| v.as_str())
                .collect::<Vec<_>>()
        };
        assert_eq!(of("x-forwarded-for"), [expected], "{sent}");
        assert_eq!(of("x-forwarded-proto"), ["http"], "{sent}");
        assert_eq!(of("x-forwarded-port").len(), 1, "{sent}");
        assert_ne!(of("x-forwarded-port"), ["1"], "{sent}");
    }
}
