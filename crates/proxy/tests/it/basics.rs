//! Requests that should simply work.

use testkit::target::Target;

use crate::support::{Bench, gateway, get, route};

#[tokio::test]
async fn keep_alive_and_pipelining() {
    let bench = Bench::new();
    let target = Target::named("a").await.unwrap();
    assert_eq!(
        bench.apply(vec![gateway("shop", vec![route("a", 100, &[target.address()])])]).await.problems,
        []
    );
    let mut client = bench.connect().await;
    for _ in 0..3 {
        let response = client.ask(&get("shop", "/x?y=1")).await.unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "a"));
    }
    let post = "POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabc";
    client.send(format!("{}{post}{}", get("shop", "/1"), get("shop", "/2")).as_bytes()).await.unwrap();
    let bodies = [
        client.read_response().await.unwrap().text(),
        client.read_response().await.unwrap().text(),
        client.read_response().await.unwrap().text(),
    ];
    assert_eq!(bodies, ["a", "aabc", "a"]);
    assert_eq!(target.connections(), 1);
    let first = &target.requests()[0];
    assert_eq!(first.start, "GET /x?y=1 HTTP/1.1");
    assert_eq!(first.field("host").as_deref(), Some("shop.test"));
    assert_eq!(first.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(first.field("x-forwarded-proto").as_deref(), Some("http"));
}
