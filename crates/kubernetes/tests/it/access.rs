//! Callers against an API server that counts what it is asked.

use std::io::Write;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use kubernetes::access::{Callers, Refusal, Role};
use kubernetes::{Cluster, Credentials};
use serde_json::{Value, json};

/// Tokens `NAME` and `NAME@vamp`, the latter for the audience of Vamp; `nobody...` is nobody's. Rights are verbs in the name.
#[derive(Default)]
struct Fake {
    token_reviews: AtomicUsize,
    access_reviews: AtomicUsize,
    /// Answered instead when it is not 0.
    failure: AtomicU16,
    last: Mutex<Value>,
}

impl Fake {
    fn failure(&self) -> Option<(StatusCode, Json<Value>)> {
        let code = self.failure.load(Ordering::SeqCst);
        let message = "tokenreviews.authentication.k8s.io is forbidden: User \"u\" cannot create";
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": "x", "code": code});
        (code != 0).then(|| (StatusCode::from_u16(code).unwrap(), Json(body)))
    }
}

type Answer = (StatusCode, Json<Value>);

async fn token_review(State(fake): State<Arc<Fake>>, Json(review): Json<Value>) -> Answer {
    fake.token_reviews.fetch_add(1, Ordering::SeqCst);
    if let Some(failure) = fake.failure() {
        return failure;
    }
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    let wants_vamp = review["spec"]["audiences"] == json!(["vamp"]);
    let (name, is_vamp) = token.strip_suffix("@vamp").map_or((token, false), |name| (name, true));
    let known = !name.starts_with("nobody") && wants_vamp == is_vamp;
    let status = if known {
        json!({
            "authenticated": true, "audiences": [if is_vamp { "vamp" } else { "https://kubernetes" }],
            "user": {"username": name, "uid": "1", "groups": ["system:authenticated"], "extra": {"authentication.kubernetes.io/pod-name": ["agent-x"]}},
        })
    } else {
        json!({"user": {}, "error": "invalid bearer token"})
    };
    (
        StatusCode::CREATED,
        Json(json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status})),
    )
}

async fn access_review(State(fake): State<Arc<Fake>>, Json(review): Json<Value>) -> Answer {
    fake.access_reviews.fetch_add(1, Ordering::SeqCst);
    if let Some(failure) = fake.failure() {
        return failure;
    }
    let spec = &review["spec"];
    let verb = spec["resourceAttributes"]["verb"].as_str().unwrap_or_default();
    let allowed = spec["user"].as_str().unwrap_or_default().contains(verb)
        && spec["resourceAttributes"]["namespace"] == "shop";
    *fake.last.lock().unwrap() = spec.clone();
    let status = json!({"allowed": allowed});
    (
        StatusCode::CREATED,
        Json(
            json!({"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": status}),
        ),
    )
}

async fn start() -> (Arc<Fake>, Callers) {
    let fake = Arc::<Fake>::default();
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(access_review))
        .with_state(Arc::clone(&fake));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (fake, callers(&format!("http://{address}")).await)
}

async fn callers(server: &str) -> Callers {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}], "users": [{"name": "u", "user": {}}],
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, config.to_string()).unwrap();
    let credentials = Credentials::Kubeconfig { file, context: None };
    Callers::new(&Cluster::connect(&credentials).await.unwrap())
}

#[tokio::test]
async fn a_token_has_an_owner_and_a_role_in_a_namespace() {
    let (fake, callers) = start().await;
    for (token, namespace, expected) in [
        ("nothing", "shop", None),
        ("get", "shop", Some(Role::Viewer)),
        ("get-update", "shop", Some(Role::Operator)),
        ("get-update", "other", None),
        ("get-update-administer", "shop", Some(Role::Admin)),
        // Each includes those before it.
        ("update", "shop", None),
        ("get-administer", "shop", Some(Role::Viewer)),
    ] {
        let (caller, role) = callers.role(token, namespace).await.unwrap();
        assert_eq!((caller.name.as_str(), role), (token, expected), "{token} in {namespace}");
    }
    let last = fake.last.lock().unwrap().clone();
    assert_eq!(last["resourceAttributes"]["group"], "vamp.io");
    assert_eq!(last["groups"], json!(["system:authenticated"]));

    let (caller, _) = callers.role("system:serviceaccount:shop:agent@vamp", "shop").await.unwrap();
    assert_eq!(caller.service_account(), Some(("shop", "agent")));
    assert_eq!((caller.pod(), caller.for_vamp), (Some("agent-x"), true));
    let (person, _) = callers.role("get", "shop").await.unwrap();
    assert_eq!((person.service_account(), person.for_vamp), (None, false));
    for token in ["nobody", "", &"x".repeat(100_000)] {
        assert_eq!(callers.identify(token).await, Err(Refusal::Unknown));
    }
}

/// A browser with the UI open asks many things a second.
#[tokio::test]
async fn answers_are_kept_and_asked_for_once() {
    let (fake, callers) = start().await;
    let asked = (0..100).map(|_| callers.role("get-update", "shop"));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.unwrap().1, Some(Role::Operator));
    }
    // Once with Vamp's audience and once without; get, update, administer. As many may pass the look into the cache
    // together as may ask at once.
    let (tokens, access) =
        (fake.token_reviews.load(Ordering::SeqCst), fake.access_reviews.load(Ordering::SeqCst));
    assert!(tokens <= 2 * 8 && access <= 3 * 8, "{tokens} {access}");
    for _ in 0..10 {
        callers.role("get-update", "shop").await.unwrap();
    }
    assert_eq!(fake.token_reviews.load(Ordering::SeqCst), tokens);
    assert_eq!(fake.access_reviews.load(Ordering::SeqCst), access);
    for _ in 0..10 {
        assert_eq!(callers.identify("nobody").await, Err(Refusal::Unknown));
    }
    assert_eq!(fake.token_reviews.load(Ordering::SeqCst), tokens + 2, "refusals are kept for a moment too");
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_says_nothing_about_tokens() {
    let (fake, callers) = start().await;
    fake.failure.store(500, Ordering::SeqCst);
    let refusal = callers.identify("get").await.unwrap_err();
    assert!(matches!(&refusal, Refusal::Unavailable(why) if why.contains("answers 500")), "{refusal}");
    assert!(callers.problem().is_some());
    fake.failure.store(0, Ordering::SeqCst);
    assert_eq!(callers.role("get", "shop").await.unwrap().1, Some(Role::Viewer), "no failure is kept");
    assert_eq!(callers.problem(), None);

    fake.failure.store(403, Ordering::SeqCst);
    assert_eq!(callers.role("get", "shop").await.unwrap().1, Some(Role::Viewer), "what is known goes on");
    let Err(Refusal::Unavailable(why)) = callers.identify("get-update").await else { panic!("unavailable") };
    for part in ["create tokenreviews", "system:auth-delegator", "[tokenreviews], verbs: [create]", "'u'"] {
        assert!(why.contains(part), "{part}: {why}");
    }

    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let callers = self::callers(&format!("http://{address}")).await;
    assert!(matches!(callers.identify("get").await, Err(Refusal::Unavailable(_))));
}

/// Everything that is logged at the finest level, into a buffer.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn tokens_are_never_logged() {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (fake, callers) = start().await;
    for failure in [0, 500, 403, 401] {
        fake.failure.store(failure, Ordering::SeqCst);
        for token in ["get-5ecret-a", "nobody-5ecret-b", "update-5ecret-c@vamp"] {
            let token = format!("{token}{failure}");
            let answer = callers.role(&token, "shop").await;
            let shown = format!("{callers:?} {:?}", answer.err());
            assert!(!shown.contains("5ecret"), "{shown}");
        }
    }
    let log = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(log.contains("callers cannot be identified"), "the log was captured: {log}");
    assert!(!log.contains("5ecret"), "{log}");
}
