//! One proxy follows another on the same sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use proxy::Sockets;
use testkit::eventually;
use testkit::target::{Target, connect};

use crate::support::{Bench, free_port, gateway, get, loopback, on_port, route};

/// Clients that connect anew for every request, as fast as they can: none is refused or cut while one proxy follows another, several
/// times in a row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_while_one_proxy_follows_another() {
    let target = Target::named("a").await.unwrap();
    let port = free_port();
    let shop = || vec![on_port(port, gateway("shop", vec![route("a", 100, &[target.address()])]))];
    let mut bench = Bench::new();
    bench.apply(shop()).await;
    let shared = bench.proxy.virtual_host_address().unwrap();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|number| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let address = if number % 2 == 0 { loopback(port) } else { shared };
            tokio::spawn(async move {
                while !stop.load(SeqCst) {
                    // The kernel queue of a socket that is handed over goes with it.
                    let mut client = connect(address).await.unwrap();
                    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\nContent-Length: 1\r\n\r\n!";
                    let answer = client.ask(post).await.unwrap();
                    assert_eq!((answer.status(), answer.text().as_str()), (200, "a!"), "{answer:?}");
                    served.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    // The same number of workers, more, and as many as before by then.
    for (round, workers) in [2, 2, 3, 3, 3].into_iter().enumerate() {
        let before = served.load(SeqCst);
        assert!(eventually(|| served.load(SeqCst) > before + 50).await);
        let sockets = Sockets::new(bench.proxy.sockets().await);
        assert!(sockets.has(loopback(port)) && sockets.has(shared), "round {round}");
        assert!(sockets.workers() <= workers);
        let next = Bench::with(|settings| {
            settings.workers = workers;
            settings.virtual_host_listen = Some(shared);
            settings.sockets = sockets;
        });
        assert!(next.proxy.can_listen(port));
        assert_eq!(next.apply(shop()).await.problems, []);
        let last = std::mem::replace(&mut bench, next);
        let before = served.load(SeqCst);
        assert_eq!(last.proxy.drain(Duration::from_secs(20)).await.cut, 0);
        assert!(eventually(|| served.load(SeqCst) > before + 50).await);
    }
    stop.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    // And the last one gives its port up as any other does.
    bench.apply(vec![]).await;
    assert!(connect(loopback(port)).await.is_err());
}

/// What the next one has no use for is closed; what the first still serves is not.
#[tokio::test]
async fn what_is_not_needed_is_closed() {
    let target = Target::named("a").await.unwrap();
    let (kept, gone) = (free_port(), free_port());
    let routes = || vec![route("a", 100, &[target.address()])];
    let first = Bench::new();
    first
        .apply(vec![on_port(kept, gateway("kept", routes())), on_port(gone, gateway("gone", routes()))])
        .await;
    let sockets = Sockets::new(first.proxy.sockets().await);
    let second = Bench::with(|settings| settings.sockets = sockets);
    second.apply(vec![on_port(kept, gateway("kept", routes()))]).await;
    assert_eq!(connect(loopback(gone)).await.unwrap().ask(&get("gone", "/")).await.unwrap().text(), "a");
    first.proxy.drain(Duration::from_secs(20)).await;
    assert!(connect(loopback(gone)).await.is_err());
    assert_eq!(connect(loopback(kept)).await.unwrap().ask(&get("kept", "/")).await.unwrap().text(), "a");
}
