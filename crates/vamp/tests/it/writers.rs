//! Several writers at once, also while `kill -9` ends the server in the middle of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::harness::{Pod, Vamp, eventually};

const WRITERS: usize = 4;

/// What a writer knows for sure.
#[derive(Debug, Default, Clone)]
struct Acknowledged {
    number: u64,
    revision: u64,
    etag: String,
}

fn document(gateway: usize, number: u64) -> String {
    let weight = number % 101;
    format!(
        "name: g{gateway}\nmetadata: {{number: {number}}}\nroutes: {{'[127.0.0.1:1]': {{weight: {weight}%}}, '[127.0.0.1:2]': {{weight: {}%}}}}",
        100 - weight
    )
}

/// Writes one gateway over and over until the server is gone.
async fn write(api: String, gateway: usize, next: Arc<AtomicU64>) -> Option<Acknowledged> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut last = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let sent = http
            .put(format!("{api}/api/v1/gateways/g{gateway}"))
            .header("content-type", "application/x-yaml")
            .body(document(gateway, number))
            .send()
            .await;
        let Ok(answer) = sent else { return last };
        assert_eq!(answer.status(), 202);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        last = Some(Acknowledged {
            number,
            revision: header("vamp-revision").parse().unwrap(),
            etag: header("etag"),
        });
    }
}

/// Creates and deletes gateways until the server is gone; those that must and must not be there, and those that may.
async fn create_and_delete(api: String, round: usize) -> (Vec<String>, Vec<String>) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for number in 0.. {
        let name = format!("n{round}-{number}");
        let post = http.post(format!("{api}/api/v1/gateways")).body(format!("name: {name}"));
        let Ok(answer) = post.header("content-type", "application/x-yaml").send().await else { break };
        assert_eq!(answer.status(), 202);
        if number % 2 == 0 {
            let Ok(answer) = http.delete(format!("{api}/api/v1/gateways/{name}")).send().await else { break };
            assert_eq!(answer.status(), 202);
            gone.push(name);
        } else if there.len() < 3 {
            there.push(name);
        } else {
            let Ok(_) = http.delete(format!("{api}/api/v1/gateways/{name}")).send().await else { break };
        }
    }
    (there, gone)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_to_any_of_several_writers_survives_kill_9() {
    let mut vamp = Vamp::start().await;
    let next: Vec<Arc<AtomicU64>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let mut revision = 0;
    for round in 0..8 {
        let writers: Vec<_> = (0..WRITERS)
            .map(|gateway| tokio::spawn(write(vamp.api.clone(), gateway, Arc::clone(&next[gateway]))))
            .collect();
        let others = tokio::spawn(create_and_delete(vamp.api.clone(), round));
        // Long enough that every writer was answered at least once, and different each time.
        eventually("answers to every writer", || async {
            let enough = 3 * (round as u64 + 1);
            next.iter().all(|next| next.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(17 * round as u64)).await;
        vamp.crash_and_restart().await;

        for (gateway, writer) in writers.into_iter().enumerate() {
            let Some(last) = writer.await.unwrap() else { continue };
            let answer = vamp.get(&format!("/gateways/g{gateway}")).await;
            assert_eq!(answer.status, 200, "round {round}: {}", answer.body);
            let number = answer.body["metadata"]["number"].as_u64().unwrap();
            // One more may have been stored without an answer.
            assert!((last.number..=last.number + 1).contains(&number), "round {round}: {number}, {last:?}");
            assert_eq!(
                answer.body["routes"]["[127.0.0.1:1]"]["weight"],
                format!("{}%", number % 101).as_str()
            );
            if number == last.number {
                assert_eq!(answer.header("etag"), Some(last.etag.as_str()), "round {round}");
            }
            let etag = answer.header("etag").unwrap();
            let guarded = [("if-match", etag)];
            let path = format!("/api/v1/gateways/g{gateway}?validate_only=true");
            let answer = vamp.call("PUT", &path, Some(&document(gateway, number)), &guarded).await;
            assert_eq!(answer.status, 202, "round {round}: {}", answer.body);
            revision = revision.max(last.revision);
        }
        let (there, gone) = others.await.unwrap();
        for (names, status) in [(there, 200), (gone, 404)] {
            for name in names {
                let answer = vamp.get(&format!("/gateways/{name}")).await;
                assert_eq!(answer.status, status, "round {round}: {name}");
            }
        }
        let now = vamp.get("/status").await.body["revision"].as_u64().unwrap();
        assert!(now >= revision, "round {round}: revision {now} after {revision}");
        revision = now;
        let receipt = vamp.get(&format!("/revisions/{now}")).await;
        assert_eq!((receipt.status, &receipt.body["complete"]), (200, &true.into()), "{}", receipt.body);
    }
    for (gateway, next) in next.iter().enumerate() {
        let events = vamp.get(&format!("/events?tag=gateways:g{gateway}&type=archive")).await;
        let total: u64 = events.header("x-total-count").unwrap().parse().unwrap();
        // Of every round the last request has no answer; it may be stored or not.
        let sent = next.load(Ordering::Relaxed);
        assert!((sent - 8..=sent).contains(&total), "{total} events of {sent} changes of g{gateway}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writers_with_the_same_etag_exactly_one_wins() {
    let vamp = Arc::new(Vamp::start().await);
    vamp.gateway(&document(0, 0)).await;
    for round in 1..6 {
        let etag = vamp.get("/gateways/g0").await.header("etag").unwrap().to_owned();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (vamp, etag) = (Arc::clone(&vamp), etag.clone());
                tokio::spawn(async move {
                    let body = document(0, round * 100 + writer);
                    vamp.call("PUT", "/api/v1/gateways/g0", Some(&body), &[("if-match", &etag)]).await
                })
            })
            .collect();
        let mut won = Vec::new();
        for writer in writers {
            let answer = writer.await.unwrap();
            match answer.status {
                202 => won.push(answer.body["metadata"].clone()),
                status => assert_eq!(status, 412, "{}", answer.body),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(vamp.get("/gateways/g0").await.body["metadata"], won[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_created_at_once_get_different_ports() {
    let vamp = Arc::new(Vamp::start().await);
    let creators: Vec<_> = (0..30)
        .map(|number| {
            let vamp = Arc::clone(&vamp);
            tokio::spawn(async move { vamp.post("/gateways", &format!("name: c{number}")).await })
        })
        .collect();
    let mut ports = BTreeSet::new();
    for creator in creators {
        let answer = creator.await.unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
        ports.insert(answer.body["port"].as_str().unwrap().to_owned());
    }
    assert_eq!(ports.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_changes_do_not_overwrite_those_of_users() {
    let vamp = Arc::new(Vamp::start().await);
    let address = "127.0.0.1:9".parse().unwrap();
    let pod = |version: &str| {
        let labels = [("app", "shop"), ("version", version)];
        vamp.pod(&Pod { name: &format!("shop-{version}"), labels: &labels, address, ready: true });
    };
    pod("1");
    pod("2");
    let shop = "name: shop\nselector: label(app)(shop) && label(version)((.*))\n";
    vamp.gateway(shop).await;
    eventually_two_routes(&vamp).await;
    let done = Arc::new(AtomicBool::new(false));
    let user = {
        let (vamp, done) = (Arc::clone(&vamp), Arc::clone(&done));
        tokio::spawn(async move {
            for number in 0.. {
                if done.load(Ordering::Acquire) {
                    break;
                }
                let one = number % 101;
                let document = format!(
                    "{shop}routes: {{\"(1)\": {{weight: {one}%}}, \"(2)\": {{weight: {}%}}}}",
                    100 - one
                );
                assert_eq!(vamp.put("/gateways/shop", &document).await.status, 202);
                let routes = vamp.get("/gateways/shop").await.body["routes"].clone();
                for (path, route) in routes.as_object().unwrap() {
                    let expected = match path.as_str() {
                        "(1)" => one,
                        "(2)" => 100 - one,
                        _ => 0,
                    };
                    assert_eq!(route["weight"], format!("{expected}%").as_str(), "{path} in {routes}");
                }
            }
        })
    };
    for _ in 0..8 {
        for version in ["3", "4", "5"] {
            pod(version);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        for version in ["3", "4", "5"] {
            vamp.remove_pod(&format!("shop-{version}"));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    done.store(true, Ordering::Release);
    user.await.unwrap();
}

async fn eventually_two_routes(vamp: &Vamp) {
    eventually("two routes", || async {
        let body = vamp.get("/gateways/shop").await.body;
        (body["routes"].as_object()?.len() == 2).then_some(())
    })
    .await;
}
