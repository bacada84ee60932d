//! Gateways with kubectl, on a real API server: what is applied, edited and deleted there, what the API does meanwhile, and what
//! the status and Events say.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::kube::{Namespace, Pod};

use crate::harness::{Vamp, eventually};

const KIND: &str = "vamp.io/v1/gateways";

/// A namespace with the custom resource and two versions of a shop, and the binary that works there.
async fn start(name: &str) -> Option<(Namespace, Vamp)> {
    let namespace = Namespace::new(name).await?;
    let definition = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds/gateways.yaml");
    // Before 1.25 kubectl does not know rules in CEL.
    namespace.kubectl(&["apply", "--validate=false", "-f", definition]).await;
    namespace
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd/gateways.vamp.io"])
        .await;
    for (index, version) in ["1", "2"].into_iter().enumerate() {
        pod(&namespace, version, u8::try_from(index).unwrap() + 1).await;
    }
    let file = namespace.kubeconfig();
    let vamp = Vamp::start_with(&["--kubeconfig", file.to_str()?, "--create-services", "false"]).await;
    Some((namespace, vamp))
}

async fn pod(namespace: &Namespace, version: &str, last: u8) {
    // Nobody listens there; for routes it is enough that the pod is ready.
    let address = SocketAddr::from(([127, 77, 0, last], 8080));
    let labels = [("app", "shop"), ("version", version)];
    namespace.pod(&Pod { name: &format!("shop-{version}"), labels: &labels, address, ready: true }).await;
}

fn manifest(port: u16, rest: &str) -> String {
    format!(
        "apiVersion: vamp.io/v1\nkind: Gateway\nmetadata: {{name: shop}}\nspec:\n  port: {port}\n  \
         selector: label(app)(shop) && label(version)((.*))\n{rest}"
    )
}

/// As Argo CD does it.
async fn apply(namespace: &Namespace, manifest: &str) {
    let arguments = ["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"];
    namespace.kubectl_with(&arguments, manifest).await;
}

fn condition(object: &Value, kind: &str) -> String {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut found = all.filter(|condition| condition["type"] == kind);
    found.next().map_or_else(String::new, |condition| {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("status"), text("reason"), text("message"))
    })
}

/// Routes with their weights, as the status shows them.
fn weights(object: &Value) -> String {
    object["status"]["summary"]["weights"].as_str().unwrap_or_default().to_owned()
}

fn is_taken_in(object: &Value) -> bool {
    object["status"]["observedGeneration"] == object["metadata"]["generation"]
        && condition(object, "Accepted").starts_with("True")
}

async fn weigh(vamp: &Vamp, one: &str, two: &str) {
    let mut shown = vamp.get("/gateways/shop").await.body;
    shown["routes"]["(1)"]["weight"] = one.into();
    shown["routes"]["(2)"]["weight"] = two.into();
    let answer = vamp.put("/gateways/shop?wait=applied", &shown.to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_applied_watched_edited_and_deleted_with_kubectl() {
    let Some((namespace, vamp)) = start("door").await else { return };
    let port = vamp.first_port;
    namespace.kubectl_with(&["apply", "-f", "-"], &manifest(port, "")).await;
    namespace.kubectl(&["wait", "--for=condition=Programmed", "--timeout=60s", "vgw/shop"]).await;
    let shop = namespace
        .until(KIND, "shop", "to show both versions", |shop| weights(shop) == "(1) 100%, (2) 0%")
        .await;
    assert_eq!(condition(&shop, "Accepted").split(' ').next(), Some("True"));
    assert_eq!(condition(&shop, "ResolvedRefs").split(' ').next(), Some("True"));
    assert!(condition(&shop, "Programmed").starts_with("True Programmed 1/1 proxies, revision "));
    assert_eq!(shop["status"]["hosts"], json!(["shop.vamp"]));
    let table = namespace.kubectl(&["get", "vgw"]).await;
    for part in ["READY", "ROUTES", "WEIGHTS", "PORT", "AGE", "True", "(1) 100%, (2) 0%", &port.to_string()] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let explained = namespace.kubectl(&["explain", "vgw.spec.routes"]).await;
    assert!(explained.contains("share of the traffic"), "{explained}");

    // Moved through the API: the document stays, the status follows.
    weigh(&vamp, "90%", "10%").await;
    let moved = namespace
        .until(KIND, "shop", "to show the weights", |shop| weights(shop) == "(1) 90%, (2) 10%")
        .await;
    assert_eq!((&moved["spec"], &moved["metadata"]["generation"]), (&shop["spec"], &json!(1)));

    // Edited: a field, and the weights once.
    namespace.patch(KIND, "shop", json!({"spec": {"sticky": "route"}})).await;
    eventually("the edit", || async {
        (vamp.get("/gateways/shop").await.body["sticky"] == "route").then_some(())
    })
    .await;
    assert_eq!(vamp.get("/gateways/shop").await.body["routes"]["(1)"]["weight"], "90%");
    namespace
        .patch(
            KIND,
            "shop",
            json!({"spec": {"routes": {"(1)": {"weight": "50%"}, "(2)": {"weight": "50%"}}}}),
        )
        .await;
    namespace.until(KIND, "shop", "to apply the weights", |shop| weights(shop) == "(1) 50%, (2) 50%").await;

    // Refused: in the words of the API, and what is in force stays.
    let mut wrong = vamp.get("/gateways/shop").await.body;
    wrong["routes"]["(1)"]["condition"] = "nonsense".into();
    let expected = vamp.put("/gateways/shop", &wrong.to_string()).await;
    assert_eq!(expected.status, 400);
    namespace.patch(KIND, "shop", json!({"spec": {"routes": {"(1)": {"condition": "nonsense"}}}})).await;
    let refused = namespace
        .until(KIND, "shop", "to be refused", |shop| condition(shop, "Accepted").starts_with("False"))
        .await;
    assert_eq!(condition(&refused, "Accepted"), format!("False Condition {}", expected.message()));
    assert!(condition(&refused, "Programmed").starts_with("False NotAccepted"));
    assert_eq!(refused["status"]["observedGeneration"], refused["metadata"]["generation"]);
    assert_eq!(weights(&refused), "(1) 50%, (2) 50%");

    // What happened is told.
    eventually("Events", || async {
        let told = namespace.kubectl(&["describe", "vgw", "shop"]).await;
        let all = ["RouteAdded", "WeightsChanged", "Refused", "(1) 100% -> 90%, (2) 0% -> 10%"];
        all.iter().all(|part| told.contains(part)).then_some(())
    })
    .await;

    namespace.kubectl(&["delete", "vgw", "shop"]).await;
    eventually("the gateway to go", || async {
        (vamp.get("/gateways/shop").await.status == 404).then_some(())
    })
    .await;
}

/// The canary is at 30/70; the manifest says nothing, or 100/0, and is applied over and over.
#[tokio::test(flavor = "multi_thread")]
async fn weights_never_move_when_the_same_manifest_is_applied_again() {
    let Some((namespace, mut vamp)) = start("reapply").await else { return };
    for rest in ["", "  routes:\n    (1): {weight: 100%}\n    (2): {weight: 0%}\n"] {
        let manifest = manifest(vamp.first_port, rest);
        apply(&namespace, &manifest).await;
        // The second manifest has what is in force already: only its status tells that it was taken in, and weights that are
        // set before that are rightly replaced by its own.
        namespace.until(KIND, "shop", "to take in the manifest", is_taken_in).await;
        vamp.routes("shop", &[("(1)", "100%"), ("(2)", "0%")]).await;
        weigh(&vamp, "30%", "70%").await;
        let before =
            namespace.until(KIND, "shop", "to show it", |shop| weights(shop) == "(1) 30%, (2) 70%").await;
        for round in 0..5 {
            apply(&namespace, &manifest).await;
            if round == 2 {
                vamp.crash_and_restart().await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            vamp.routes("shop", &[("(1)", "30%"), ("(2)", "70%")]).await;
            let now = namespace.get(KIND, "shop").await.unwrap();
            assert_eq!(now["spec"], before["spec"], "{rest}");
            assert_eq!(weights(&now), "(1) 30%, (2) 70%");
        }
        let moved = vamp.get("/events?tag=route:weightupdated").await.body;
        let by: Vec<&str> =
            moved.as_array().unwrap().iter().filter_map(|event| event["actor"].as_str()).collect();
        assert!(!by.contains(&"argocd-controller"), "{by:?}");
        weigh(&vamp, "100%", "0%").await;
    }
}

/// The API and kubectl change the same gateway at once: both agree in the end, and nobody's field is lost.
#[tokio::test(flavor = "multi_thread")]
async fn two_writers_agree() {
    let Some((namespace, mut vamp)) = start("writers").await else { return };
    // Made through the API: the object appears, by the name that it can have.
    let port = vamp.first_port;
    let document =
        format!("name: shop/Web\nport: {port}\nselector: label(app)(shop) && label(version)((.*))");
    vamp.gateway(&document).await;
    let made = eventually("the object", || async {
        let all = namespace.list(KIND).await;
        all.into_iter().find(|object| object["spec"]["name"] == "shop/Web")
    })
    .await;
    let object = made["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(object.starts_with("shop-web-"), "{object}");
    for round in 0..6_u16 {
        let mut shown = vamp.get("/gateways/shop%2FWeb").await.body;
        shown["port"] = (port + 1 + round).into();
        let sticky = if round.is_multiple_of(2) { "route" } else { "instance" };
        let document = shown.to_string();
        let (answer, _) = tokio::join!(
            vamp.put("/gateways/shop%2FWeb", &document),
            namespace.patch(KIND, &object, json!({"spec": {"sticky": sticky}})),
        );
        assert_eq!(answer.status, 202, "{answer:?}");
        if round == 3 {
            vamp.crash_and_restart().await;
        }
        eventually("both sides to have both changes", || async {
            let there = namespace.get(KIND, &object).await?;
            let here = vamp.get("/gateways/shop%2FWeb").await.body;
            let wanted = (port + 1 + round).to_string();
            let number = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (number(&there["spec"]["port"]) == wanted
                && number(&here["port"]) == wanted
                && there["spec"]["sticky"] == sticky
                && here["sticky"] == sticky)
                .then_some(())
        })
        .await;
    }
    // Nothing goes on once they agree.
    let version = async || namespace.get(KIND, &object).await.unwrap()["metadata"]["resourceVersion"].clone();
    let mut versions = vec![version().await];
    // The status may come late, but not over and over.
    while versions.len() < 2 || versions[versions.len() - 2] != versions[versions.len() - 1] {
        assert!(versions.len() < 8, "{versions:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        versions.push(version().await);
    }
    assert_eq!(vamp.delete("/gateways/shop%2FWeb").await.status, 202);
    namespace.until_gone(KIND, &object).await;
}
