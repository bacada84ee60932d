//! The HTTP side.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State as Extract};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::objects::{Event, Write, merge};
use super::{Shared, State};

/// A watch without events says where it is this often.
const BOOKMARK: Duration = Duration::from_millis(50);

type Parameters = Query<BTreeMap<String, String>>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().route("/api/v1/{*path}", axum::routing::any(handle)).with_state(shared)
}

/// `pods`, `namespaces/N/pods` or `namespaces/N/pods/NAME`.
struct Address {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

fn address(path: &str) -> Option<Address> {
    let parts: Vec<&str> = path.split('/').collect();
    let (resource, namespace, name) = match parts.as_slice() {
        [resource] => (resource, None, None),
        ["namespaces", namespace, resource] => (resource, Some(*namespace), None),
        ["namespaces", namespace, resource, name] => (resource, Some(*namespace), Some(*name)),
        _ => return None,
    };
    let known = matches!(*resource, "pods" | "services");
    known.then(|| Address {
        resource: (*resource).to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
    })
}

async fn handle(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    Path(path): Path<String>,
    Query(parameters): Parameters,
    body: Bytes,
) -> Response {
    let Some(address) = address(&path) else { return failure(404, "NotFound", "no such path") };
    let watches = parameters.contains_key("watch");
    let verb = match method {
        Method::GET if watches => "watch",
        Method::GET => "list",
        Method::POST => "create",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return failure(405, "MethodNotAllowed", "not here"),
    };
    let slowness = {
        let mut state = shared.state();
        let right = format!("{verb} {}", address.resource);
        let here = format!("{right} {}", address.namespace.as_deref().unwrap_or("*"));
        if state.forbidden.contains(&right) || state.forbidden.contains(&here) {
            let message = format!("{} is forbidden: User \"fake\" cannot {verb}", address.resource);
            return failure(403, "Forbidden", &message);
        }
        let (errors, slow_lists, slowness) =
            (state.faults.errors, state.faults.slow_lists, state.faults.slowness);
        if state.happens(errors) {
            return failure(500, "InternalError", "etcdserver: request timed out");
        }
        if verb == "list" && state.happens(slow_lists) { slowness } else { Duration::ZERO }
    };
    tokio::time::sleep(slowness).await;
    match verb {
        "watch" => watch(shared, address, &parameters),
        "list" => list(&shared.state(), &address, &parameters),
        _ => {
            let answer = write(&mut shared.state(), verb, &address, &body);
            shared.changed.send_modify(|count| *count += 1);
            answer
        }
    }
}

/// One page. The version is that of the first page, so that a watch repeats what happened in between.
fn list(state: &State, address: &Address, parameters: &BTreeMap<String, String>) -> Response {
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let token = parameters.get("continue").and_then(|token| token.split_once('|'));
    let (version, after) = match token {
        Some((version, after)) => (version.to_owned(), after),
        None => (state.objects.version().to_string(), ""),
    };
    if version.parse().is_ok_and(|version| state.objects.is_forgotten(version)) {
        return failure(410, "Expired", "the continue token is too old");
    }
    let place = |object: &Value| {
        format!(
            "{}/{}",
            object["metadata"]["namespace"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    let mut objects = state.objects.all(&address.resource, address.namespace.as_deref());
    objects.sort_by_key(place);
    objects.retain(|object| place(object).as_str() > after);
    let next = (objects.len() > limit).then(|| format!("{version}|{}", place(&objects[limit - 1])));
    objects.truncate(limit);
    answer(
        200,
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version, "continue": next}, "items": objects}),
    )
}

fn watch(shared: Arc<Shared>, address: Address, parameters: &BTreeMap<String, String>) -> Response {
    let from = parameters.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let seconds = parameters.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(8);
    let epoch = shared.state().epoch;
    tokio::spawn(async move {
        let stream = Stream { shared, address, version: from, epoch };
        let _ = tokio::time::timeout(Duration::from_secs(seconds), stream.run(sender)).await;
    });
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|chunk| (Ok::<_, Infallible>(chunk), receiver))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(chunks)).into_response()
}

struct Stream {
    shared: Arc<Shared>,
    address: Address,
    version: u64,
    epoch: u64,
}

impl Stream {
    async fn run(mut self, sender: tokio::sync::mpsc::Sender<Bytes>) {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let Some((text, last)) = self.next() else { return };
            if !text.is_empty() && sender.send(text.into()).await.is_err() || last {
                return;
            }
            tokio::select! {
                result = changed.changed() => if result.is_err() { return },
                () = tokio::time::sleep(BOOKMARK) => {
                    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Any", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string()}}});
                    if sender.send(format!("{bookmark}\n").into()).await.is_err() {
                        return;
                    }
                }
                () = sender.closed() => return,
            }
        }
    }

    /// What is to be sent now, and whether it is the end; `None` when the watch is to end at once.
    fn next(&mut self) -> Option<(String, bool)> {
        let mut state = self.shared.state();
        if state.epoch != self.epoch {
            return None;
        }
        let faults = state.faults.clone();
        if state.objects.is_forgotten(self.version) || state.happens(faults.gone) {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410});
            return Some((format!("{}\n", json!({"type": "ERROR", "object": status})), true));
        }
        let mut events =
            state.objects.since(self.version, &self.address.resource, self.address.namespace.as_deref());
        self.version = state.objects.version();
        let mut order: Vec<Event> = Vec::new();
        // Swapped pairs are never cut apart: their versions would lie.
        let swapped = events.len() >= 2 && state.happens(faults.swaps);
        if swapped {
            for pair in events.chunks_mut(2) {
                if let [a, b] = pair
                    && a.name != b.name
                {
                    pair.swap(0, 1);
                }
            }
        }
        order.append(&mut events);
        if state.happens(faults.duplicates) {
            order = order.iter().chain(&order).cloned().collect();
        }
        let mut text: String = order
            .iter()
            .map(|event| format!("{}\n", json!({"type": event.kind, "object": event.object})))
            .collect();
        let cut = !swapped && !text.is_empty() && state.happens(faults.drops);
        if cut {
            let half = text.len() / 2;
            text.truncate((half..).find(|at| text.is_char_boundary(*at)).unwrap_or(half));
        }
        Some((text, cut))
    }
}

fn write(state: &mut State, verb: &'static str, address: &Address, body: &[u8]) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return failure(400, "BadRequest", "no JSON");
    };
    let namespace = address.namespace.as_deref().unwrap_or_default();
    let name = match &address.name {
        Some(name) => name.clone(),
        None => body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
    };
    let before = state.objects.get(&address.resource, namespace, &name).cloned();
    let conflicts = state.faults.conflicts;
    if state.happens(conflicts) {
        return failure(409, "Conflict", "the object has been modified");
    }
    let precondition = |wanted: &Value, field: &str| {
        wanted.is_null() || before.as_ref().is_some_and(|before| before["metadata"][field] == *wanted)
    };
    let result = match (verb, &before) {
        ("create", Some(_)) => return failure(409, "AlreadyExists", "the object exists"),
        ("create", None) => {
            let mut object = body;
            object["metadata"]["namespace"] = namespace.into();
            state.objects.apply(&address.resource, object)
        }
        (_, None) => return failure(404, "NotFound", "no such object"),
        ("patch", Some(object)) => {
            if !precondition(&body["metadata"]["resourceVersion"], "resourceVersion") {
                return failure(409, "Conflict", "the object has been modified");
            }
            let mut object = object.clone();
            merge(&mut object, body);
            let cluster_only = object["spec"]["type"] == "ClusterIP";
            if cluster_only
                && object["spec"]["ports"]
                    .as_array()
                    .is_some_and(|ports| ports.iter().any(|port| !port["nodePort"].is_null()))
            {
                return failure(422, "Invalid", "may not be used when `type` is 'ClusterIP'");
            }
            state.objects.apply(&address.resource, object)
        }
        _ => {
            let wanted = &body["preconditions"];
            if !precondition(&wanted["uid"], "uid")
                || !precondition(&wanted["resourceVersion"], "resourceVersion")
            {
                return failure(409, "Conflict", "the precondition does not hold");
            }
            state.objects.remove(&address.resource, namespace, &name);
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        }
    };
    state.objects.writes.push(Write { verb, name, before: before.unwrap_or_default() });
    answer(200, &result)
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    answer(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code}),
    )
}

fn answer(code: u16, body: &Value) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
