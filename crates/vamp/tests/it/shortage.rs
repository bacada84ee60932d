//! What a machine may run out of: room for the log, descriptors.

use std::net::TcpListener;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Vamp, eventually};
use crate::release::count;
use crate::target::Target;

/// Every line of the log fails, as on a full disk. Vamp goes on as if it had been written.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_ends_nothing() {
    let vamp = Vamp::start_in("exec 2>/dev/full", &[]).await;
    let target = Target::start("a").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    vamp.gateway(&format!("name: shop\nroutes: {{\"[{}]\": {{}}}}", target.address)).await;
    // The proxy warns of that.
    vamp.gateway(&format!("name: front\nport: {port}\nroutes: {{\"[{}]\": {{}}}}", target.address)).await;
    assert!(vamp.get("/status").await.body["problems"].to_string().contains("front"));
    drop(taken);
    eventually("health", || async { (vamp.get("/status").await.body["healthy"] == true).then_some(()) })
        .await;
    for port in [port, vamp.port("shop").await] {
        let seen = count(&format!("http://127.0.0.1:{port}/"), 3, &[]).await;
        assert_eq!(seen.get("a"), Some(&3), "{seen:?}");
    }
}

/// More clients than there are descriptors for: some are served, the others are told, and the API answers all the while.
#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_the_descriptors_are_refused_and_the_api_answers() {
    let vamp = Vamp::start_in("ulimit -Sn 96; ulimit -Hn 96", &["--workers", "1"]).await;
    let target = Target::start("a").await;
    vamp.gateway(&format!("name: shop\nroutes: {{\"[{}]\": {{}}}}", target.address)).await;
    let port = vamp.port("shop").await;
    let (mut held, mut served, mut refused) = (Vec::new(), 0, 0);
    for number in 0..120 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        // One that is refused may have been closed already.
        let _ = client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await;
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut answer)).await;
        let read = read.expect("an answer, or an end").unwrap_or(0);
        let text = String::from_utf8_lossy(&answer[..read]).into_owned();
        if text.starts_with("HTTP/1.1 200") {
            served += 1;
        } else {
            assert!(text.is_empty() || text.contains("overload"), "{number}: {text}");
            refused += 1;
        }
        held.push(client);
        if number % 20 == 0 {
            assert_eq!(vamp.get("/status").await.status, 200);
        }
    }
    assert!(served >= 10 && refused >= 10, "{served} served, {refused} refused");
    assert_eq!(vamp.get("/status").await.status, 200);
    drop(held);
    eventually("room", || async {
        let seen = count(&format!("http://127.0.0.1:{port}/"), 1, &[]).await;
        (seen.get("a") == Some(&1)).then_some(())
    })
    .await;
}
