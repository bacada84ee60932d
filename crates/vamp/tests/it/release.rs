//! The main job: discover, route, shift, take back.

use std::collections::BTreeMap;

use crate::harness::{Pod, Vamp, eventually};
use crate::target::Target;

/// Sends requests one after the other; answers by target, or by status for those without one.
pub(crate) async fn count(url: &str, requests: usize, headers: &[(&str, &str)]) -> BTreeMap<String, usize> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let mut request = http.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let who = match response.headers().get("x-target") {
            Some(name) => name.to_str().unwrap().to_owned(),
            None => {
                format!("{} {:?}", response.status().as_u16(), response.headers().get("vamp-proxy-error"))
            }
        };
        response.bytes().await.unwrap();
        *counts.entry(who).or_default() += 1;
    }
    counts
}

fn counts(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

async fn version(vamp: &Vamp, version: &str) -> Target {
    let target = Target::start(version).await;
    vamp.pod(&Pod {
        name: &format!("shop-{version}"),
        labels: &[("app", "shop"), ("version", version)],
        address: target.address,
        ready: true,
    });
    target
}

const SHOP: &str = "name: shop\nselector: label(app)(shop) && label(version)((.*))\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_version_is_deployed_then_released_then_taken_back() {
    let vamp = Vamp::start().await;
    vamp.gateway(SHOP).await;
    let url = format!("http://127.0.0.1:{}/", vamp.port("shop").await);
    assert_eq!(count(&url, 1, &[]).await, counts(&[("503 Some(\"no_target\")", 1)]));

    let _one = version(&vamp, "1.0").await;
    vamp.routes("shop", &[("(1.0)", "100%")]).await;
    assert_eq!(count(&url, 10, &[]).await, counts(&[("1.0", 10)]));

    let _two = version(&vamp, "2.0").await;
    vamp.routes("shop", &[("(1.0)", "100%"), ("(2.0)", "0%")]).await;
    assert_eq!(count(&url, 10, &[]).await, counts(&[("1.0", 10)]));

    let shift = |one: u32, two: u32| {
        format!("{SHOP}routes:\n  \"(1.0)\": {{weight: {one}%}}\n  \"(2.0)\": {{weight: {two}%}}\n")
    };
    let answer = vamp.put("/gateways/shop?wait=applied", &shift(80, 20)).await;
    assert_eq!((answer.status, answer.header("vamp-applied")), (202, Some("1/1")), "{}", answer.body);
    assert_eq!(count(&url, 50, &[]).await, counts(&[("1.0", 40), ("2.0", 10)]));

    let answer = vamp.put("/gateways/shop?wait=applied", &shift(100, 0)).await;
    assert_eq!(answer.status, 202);
    assert_eq!(count(&url, 50, &[]).await, counts(&[("1.0", 50)]));

    let answer = vamp.put("/gateways/shop", &shift(50, 10)).await;
    assert_eq!(
        (answer.status, answer.message()),
        (400, "Total route weight must be either 0% or 100%: shop.")
    );
    assert_eq!(count(&url, 50, &[]).await, counts(&[("1.0", 50)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_goes_leaves_its_share_and_finds_it_again() {
    let vamp = Vamp::start_with(&["--route-retention", "60s"]).await;
    let _one = version(&vamp, "1.0").await;
    vamp.gateway(SHOP).await;
    vamp.routes("shop", &[("(1.0)", "100%")]).await;
    let two = version(&vamp, "2.0").await;
    vamp.routes("shop", &[("(1.0)", "100%"), ("(2.0)", "0%")]).await;
    let document = format!("{SHOP}routes: {{\"(1.0)\": {{weight: 90%}}, \"(2.0)\": {{weight: 10%}}}}\n");
    assert_eq!(vamp.put("/gateways/shop?wait=applied", &document).await.status, 202);

    vamp.remove_pod("shop-1.0");
    let url = format!("http://127.0.0.1:{}/", vamp.port("shop").await);
    eventually("all traffic to go to 2.0", || async {
        (count(&url, 20, &[]).await == counts(&[("2.0", 20)])).then_some(())
    })
    .await;
    let body = vamp.get("/gateways/shop").await.body;
    assert_eq!(body["routes"]["(1.0)"]["weight"], "90%");

    let _one = version(&vamp, "1.0").await;
    vamp.routes("shop", &[("(1.0)", "90%"), ("(2.0)", "10%")]).await;
    eventually("the old shares", || async {
        (count(&url, 20, &[]).await == counts(&[("1.0", 18), ("2.0", 2)])).then_some(())
    })
    .await;
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn virtual_hosts_conditions_and_stickiness() {
    let vamp = Vamp::start().await;
    let one = Target::start("a").await;
    let two = Target::start("b").await;
    let document = format!(
        "name: front\nvirtual_hosts: [front.example]\nsticky: route\nroutes:\n  \"[{}]\": {{weight: 100%}}\n  \"[{}]\": {{weight: 0%, condition: user-agent == Firefox}}\n",
        one.address, two.address
    );
    let body = vamp.gateway(&document).await;
    assert_eq!(body["virtual_hosts"], serde_json::json!(["front.vamp", "front.example"]));
    let url = format!("http://{}/", vamp.hosts);
    assert_eq!(count(&url, 3, &[("host", "FRONT.example:80")]).await, counts(&[("a", 3)]));
    assert_eq!(
        count(&url, 3, &[("host", "front.vamp"), ("user-agent", "Mozilla Firefox/1")]).await,
        counts(&[("b", 3)])
    );
    assert_eq!(
        count(&url, 1, &[("host", "other.example")]).await,
        counts(&[("404 Some(\"no_gateway\")", 1)])
    );

    // A client that was given route a stays there when the weights change, until it is evicted.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(&url).header("host", "front.example").send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("vamp_r_"), "{cookie}");
    let swapped = document
        .replace("weight: 100%", "weight: x")
        .replace("weight: 0%", "weight: 100%")
        .replace("weight: x", "weight: 0%");
    assert_eq!(vamp.put("/gateways/front?wait=applied", &swapped).await.status, 202);
    let sticky = [("host", "front.example"), ("cookie", cookie.as_str())];
    assert_eq!(count(&url, 5, &sticky).await, counts(&[("a", 5)]));
    assert_eq!(count(&url, 5, &sticky[..1]).await, counts(&[("b", 5)]));
    assert_eq!(vamp.post("/evictions?wait=applied", "gateway: front").await.status, 202);
    assert_eq!(count(&url, 5, &sticky).await, counts(&[("b", 5)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn chained_gateways_multiply_their_shares() {
    let vamp = Vamp::start().await;
    let targets = [Target::start("b1").await, Target::start("b2").await, Target::start("g").await];
    vamp.gateway(&format!(
        "name: blue\nroutes: {{\"[{}]\": {{weight: 50%}}, \"[{}]\": {{weight: 50%}}}}",
        targets[0].address, targets[1].address
    ))
    .await;
    vamp.gateway(&format!("name: green\nroutes: {{\"[{}]\": {{}}}}", targets[2].address)).await;
    vamp.gateway("name: edge\nroutes: {blue: {weight: 90%}, green: {weight: 10%}}").await;
    let url = format!("http://127.0.0.1:{}/", vamp.port("edge").await);
    let seen = eventually("the chain to serve", || async {
        let seen = count(&url, 100, &[]).await;
        (!seen.keys().any(|who| who.starts_with("503"))).then_some(seen)
    })
    .await;
    assert_eq!(seen, counts(&[("b1", 45), ("b2", 45), ("g", 10)]));
    let answer = vamp.put("/gateways/blue", "name: blue\nroutes: {edge: {}}").await;
    assert_eq!(answer.status, 400, "{}", answer.body);
}
