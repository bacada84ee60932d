//! Elections over an API server.

use std::time::Duration;

use kubernetes::Credentials;
use kubernetes::authority::{Authority, AuthorityError};
use kubernetes::lease::{Candidate, Identity, LEADER_LABEL, Settings, Standing, Timing};
use kubernetes::namespaces::Namespaces;
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Faults};
use tokio::sync::watch;

use crate::world::{NAMESPACE, eventually};

const PATIENCE: Duration = Duration::from_secs(30);
/// A Lease that nothing meets the end of by accident.
const LONG: Duration = Duration::from_secs(20);

async fn connect(cluster: &Cluster) -> kubernetes::Cluster {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, cluster.kubeconfig(NAMESPACE)).unwrap();
    kubernetes::Cluster::connect(&Credentials::Kubeconfig { file, context: None }).await.unwrap()
}

fn candidate(cluster: &kubernetes::Cluster, name: &str, start: &str) -> Candidate {
    candidate_with(cluster, name, start, Duration::from_secs(2))
}

fn candidate_with(cluster: &kubernetes::Cluster, name: &str, start: &str, lease: Duration) -> Candidate {
    let timing =
        Timing { lease, renew_deadline: Duration::from_millis(1_400), retry: Duration::from_millis(200) };
    let settings = Settings {
        namespace: NAMESPACE.into(),
        identity: Identity::new(name, start),
        pod: Some(name.into()),
        timing: timing.checked().unwrap(),
    };
    Candidate::start(cluster, settings)
}

async fn until(what: &str, standing: &mut watch::Receiver<Standing>, holds: impl FnMut(&Standing) -> bool) {
    let last = standing.clone();
    if tokio::time::timeout(PATIENCE, standing.wait_for(holds)).await.is_err() {
        panic!("{what}: {:?}", last.borrow());
    }
}

fn labelled(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.objects("pods").into_iter();
    let pods = pods.filter(|pod| pod["metadata"]["labels"][LEADER_LABEL] == "true");
    pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

fn pods(cluster: &Cluster, names: &[&str]) {
    for name in names {
        cluster
            .apply("pods", json!({"metadata": {"name": name, "namespace": NAMESPACE, "labels": {"a": "b"}}}));
    }
}

fn lease(cluster: &Cluster) -> Value {
    cluster.object("leases.coordination.k8s.io", NAMESPACE, "vamp-controller").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_leads_and_hands_over_at_once() {
    let cluster = Cluster::start(1).await.unwrap();
    pods(&cluster, &["a", "b", "old"]);
    // A pod that led, and was killed.
    let labels = json!({"a": "b", LEADER_LABEL: "true"});
    cluster.apply("pods", json!({"metadata": {"name": "old", "namespace": NAMESPACE, "labels": labels}}));
    let connected = connect(&cluster).await;
    let a = candidate_with(&connected, "a", "1", LONG);
    let mut of_a = a.standing();
    until("a leads", &mut of_a, |standing| standing.leads).await;
    let b = candidate_with(&connected, "b", "1", LONG);
    let mut of_b = b.standing();
    let able = Standing { leads: false, leader: Some("a".into()), able: true, problem: None };
    until("b stands by", &mut of_b, |standing| *standing == able).await;
    eventually("the leader's pod bears the label alone", || match labelled(&cluster).as_slice() {
        [one] if one == "a" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(lease(&cluster)["spec"]["leaseDurationSeconds"], LONG.as_secs());
    assert!(lease(&cluster)["spec"]["holderIdentity"].as_str().unwrap().starts_with("a_"));

    let begin = tokio::time::Instant::now();
    a.leave().await;
    assert!(!of_a.borrow().leads);
    until("b leads", &mut of_b, |standing| standing.leads).await;
    // Told by the watch, or with the next look at the latest; it did not wait for the Lease to run out.
    assert!(begin.elapsed() < LONG / 2, "{:?}", begin.elapsed());
    eventually("the label moves", || match labelled(&cluster).as_slice() {
        [one] if one == "b" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let other = cluster.object("pods", NAMESPACE, "a").unwrap();
    assert_eq!(other["metadata"]["labels"], json!({"a": "b"}), "nothing else of a pod is touched");
    b.leave().await;
    assert_eq!(lease(&cluster)["spec"]["holderIdentity"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_without_an_api_server_stops_in_time() {
    let cluster = Cluster::start(2).await.unwrap();
    let connected = connect(&cluster).await;
    let a = candidate_with(&connected, "a", "1", LONG);
    let mut of_a = a.standing();
    until("a leads", &mut of_a, |standing| standing.leads).await;
    cluster.set_faults(Faults { errors: 100, ..Faults::default() });
    let begin = tokio::time::Instant::now();
    until("a stops", &mut of_a, |standing| !standing.leads && !standing.able).await;
    assert!(begin.elapsed() < LONG, "after the deadline, before the end of the Lease");
    assert!(of_a.borrow().problem.as_ref().is_some_and(|problem| problem.contains("leases")));
    cluster.set_faults(Faults::default());
    until("a leads again", &mut of_a, |standing| standing.leads && standing.problem.is_none()).await;
    // Another start of the same replica is another candidate.
    drop(a);
    let mut again = candidate(&connected, "a", "2").standing();
    until("it waits", &mut again, |standing| standing.leader.is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_is_followed_after_the_lease_and_conflicts_do_no_harm() {
    let cluster = Cluster::start(3).await.unwrap();
    pods(&cluster, &["a", "b"]);
    let connected = connect(&cluster).await;
    let a = candidate(&connected, "a", "1");
    until("a leads", &mut a.standing(), |standing| standing.leads).await;
    cluster.set_faults(Faults { errors: 10, conflicts: 20, drops: 20, ..Faults::default() });
    let b = candidate(&connected, "b", "1");
    let mut of_b = b.standing();
    // Dropped without a word.
    drop(a);
    until("b leads", &mut of_b, |standing| standing.leads).await;
    eventually("the label follows", || match labelled(&cluster).as_slice() {
        [one] if one == "b" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named() {
    let cluster = Cluster::start(4).await.unwrap();
    cluster.forbid("get leases.coordination.k8s.io");
    let connected = connect(&cluster).await;
    let a = candidate(&connected, "a", "1");
    let mut standing = a.standing();
    until("a tells", &mut standing, |standing| standing.problem.is_some()).await;
    let problem = standing.borrow().problem.clone().unwrap();
    for part in ["get leases in namespace 'prod'", "coordination.k8s.io", "vamp-controller"] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
    cluster.permit("get leases.coordination.k8s.io");
    until("a leads", &mut standing, |standing| standing.leads).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_are_namespaces_with_the_label() {
    let cluster = Cluster::start(5).await.unwrap();
    let label = |name: &str, labels: Value| {
        cluster.apply("namespaces", json!({"metadata": {"name": name, "labels": labels}}));
    };
    label("plain", json!({}));
    label("one", json!({"vamp.io/environment": "true"}));
    let namespaces = Namespaces::follow(&connect(&cluster).await);
    let mut found = namespaces.found();
    let mut expect = async |what: &str, expected: &[&str]| {
        let holds = |found: &kubernetes::namespaces::Found| {
            found.namespaces.as_ref().is_some_and(|found| found.iter().eq(expected))
        };
        tokio::time::timeout(PATIENCE, found.wait_for(holds)).await.expect(what).unwrap();
    };
    expect("the first", &["one"]).await;
    label("two", json!({"vamp.io/environment": ""}));
    expect("another", &["one", "two"]).await;
    label("one", json!({"vamp.io/environment": "false"}));
    expect("one less", &["two"]).await;
    cluster.remove("namespaces", "", "two");
    expect("none", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authority_is_kept_once_and_published_where_it_is_needed() {
    let cluster = Cluster::start(6).await.unwrap();
    let authority = Authority::new(&connect(&cluster).await, NAMESPACE);
    assert!(authority.read().await.unwrap().is_none());
    authority.keep("certificate", "key", None).await.unwrap();
    // Of two that begin at once, one is first.
    assert!(matches!(authority.keep("other", "other", None).await, Err(AuthorityError::Conflict)));
    let kept = authority.read().await.unwrap().unwrap();
    assert_eq!((kept.certificates.as_str(), kept.key.as_str()), ("certificate", "key"));
    assert!(!format!("{kept:?}").contains("key\""), "no key in logs");
    authority.keep("next", "next key", Some(&kept)).await.unwrap();
    assert!(matches!(authority.keep("late", "late", Some(&kept)).await, Err(AuthorityError::Conflict)));

    authority.publish("shop", "next").await.unwrap();
    let published = || cluster.object("configmaps", "shop", "vamp-ca").unwrap()["data"].clone();
    assert_eq!(published(), json!({"ca.crt": "next"}));
    let writes = cluster.writes().len();
    authority.publish("shop", "next").await.unwrap();
    assert_eq!(cluster.writes().len(), writes, "what is right is not written");
    authority.publish("shop", "newer").await.unwrap();
    assert_eq!(published(), json!({"ca.crt": "newer"}));
    cluster.apply(
        "configmaps",
        json!({"metadata": {"name": "vamp-ca", "namespace": "other"}, "data": {"a": "b"}}),
    );
    assert!(matches!(authority.publish("other", "next").await, Err(AuthorityError::Foreign(_))));
    cluster.apply(
        "secrets",
        json!({"metadata": {"name": "vamp-ca", "namespace": NAMESPACE}, "data": {"a": "b"}}),
    );
    let error = authority.read().await.unwrap_err();
    assert!(error.to_string().contains("delete it"), "{error}");
}
