//! The HTTP side: rights, faults, lists and watches.

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

use super::address::{Address, address};
use super::objects::Event;
use super::write::{Answer, failure, write};
use super::{Shared, State};

/// A watch without events says where it is this often.
const BOOKMARK: Duration = Duration::from_millis(50);
/// Lists that are read page by page at the same time.
const SNAPSHOTS: usize = 16;
/// Bodies of requests, as the real one has it.
const BODY: usize = 3 << 20;

type Parameters = BTreeMap<String, String>;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let core = |state: Extract<Arc<Shared>>, method, Path(path): Path<String>, query, body| {
        handle(state, method, String::new(), path, query, body)
    };
    let grouped = |state: Extract<Arc<Shared>>,
                   method,
                   Path((group, _, path)): Path<(String, String, String)>,
                   query,
                   body| handle(state, method, group, path, query, body);
    Router::new()
        .route("/api/v1/{*path}", axum::routing::any(core))
        .route("/apis/{group}/{version}/{*path}", axum::routing::any(grouped))
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found\n"))
        .layer(axum::extract::DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

/// What becomes of a request besides what it asks for.
enum Fate {
    /// It is answered.
    Normal,
    /// It is carried out, but the answer does not arrive.
    Lost,
    /// It is carried out, after so long, whether or not somebody still waits for it.
    Late(Duration),
    /// Nothing happens, and nobody says so.
    Silence,
    /// It is carried out, and nobody says so.
    DoneInSilence,
}

async fn handle(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    group: String,
    path: String,
    Query(parameters): Query<Parameters>,
    body: Bytes,
) -> Response {
    let found = {
        let state = shared.state();
        address(&group, &path, |resource| state.defined.contains_key(resource))
    };
    let Some(address) = found else { return (StatusCode::NOT_FOUND, "404 page not found\n").into_response() };
    let watches = parameters.contains_key("watch");
    let verb = match method {
        Method::GET if watches => "watch",
        Method::GET if address.name.is_some() => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => return answer(&failure(405, "MethodNotAllowed", "not here", None)),
    };
    let writes = !matches!(verb, "get" | "list" | "watch");
    let (fate, slowness) = {
        let mut state = shared.state();
        let right = format!("{verb} {}", address.resource);
        let here = format!("{right} {}", address.namespace.as_deref().unwrap_or("*"));
        if state.forbidden.contains(&right) || state.forbidden.contains(&here) {
            let message = format!("{} is forbidden: User \"fake\" cannot {verb}", address.resource);
            return answer(&failure(403, "Forbidden", &message, None));
        }
        let fate = fate(&mut state, writes);
        let (errors, slow_lists, slowness) =
            (state.faults.errors, state.faults.slow_lists, state.faults.slowness);
        if matches!(fate, Fate::Normal) && state.happens(errors) {
            return answer(&failure(500, "InternalError", "etcdserver: request timed out", None));
        }
        (fate, if verb == "list" && state.happens(slow_lists) { slowness } else { Duration::ZERO })
    };
    if matches!(fate, Fate::Silence | Fate::DoneInSilence) {
        if writes && matches!(fate, Fate::DoneInSilence) {
            carry_out(&shared, verb, &address, &body);
        }
        shared.silent.send_replace(true);
        return std::future::pending().await;
    }
    if !slowness.is_zero() {
        tokio::time::sleep(slowness).await;
    }
    match (verb, fate) {
        ("watch", _) => watch(shared, address, &parameters),
        ("list", _) => list(&mut shared.state(), &address, &parameters),
        ("get", _) => answer(&get(&shared.state(), &address)),
        (_, Fate::Late(lateness)) => {
            // In a task of its own: it goes on when the client does not wait for it.
            let work = tokio::spawn(async move {
                tokio::time::sleep(lateness).await;
                carry_out(&shared, verb, &address, &body)
            });
            work.await.map_or_else(|_| lost(), |result| answer(&result))
        }
        (_, Fate::Lost) => {
            carry_out(&shared, verb, &address, &body);
            // One of the two ways to lose an answer.
            if shared.state().happens(50) {
                lost()
            } else {
                answer(&failure(504, "Timeout", "request did not complete within requested timeout", None))
            }
        }
        _ => answer(&carry_out(&shared, verb, &address, &body)),
    }
}

fn fate(state: &mut State, writes: bool) -> Fate {
    match &mut state.silence {
        Some((0, _)) => return Fate::Silence,
        Some((left, done)) => {
            *left -= 1;
            if *left == 0 {
                return if *done { Fate::DoneInSilence } else { Fate::Silence };
            }
        }
        None => {}
    }
    let (lost, late, lateness) = (state.faults.lost, state.faults.late, state.faults.lateness);
    if writes && state.happens(lost) {
        Fate::Lost
    } else if writes && state.happens(late) {
        Fate::Late(lateness)
    } else {
        Fate::Normal
    }
}

fn carry_out(shared: &Shared, verb: &'static str, address: &Address, body: &[u8]) -> Answer {
    let answer = write(&mut shared.state(), verb, address, body);
    shared.changed.send_modify(|count| *count += 1);
    answer
}

/// The connection breaks in the middle of the answer.
fn lost() -> Response {
    let broken = futures_util::stream::iter([
        Ok(Bytes::from_static(b"{\"kind\":")),
        Err(std::io::Error::other("broken on purpose")),
    ]);
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
}

fn get(state: &State, address: &Address) -> Answer {
    let namespace = address.namespace.as_deref().unwrap_or_default();
    let name = address.name.as_deref().unwrap_or_default();
    match state.objects.get(&address.resource, namespace, name) {
        Some(object) => (200, object.clone()),
        None => failure(404, "NotFound", &format!("\"{name}\" not found"), Some(name)),
    }
}

/// One page. All pages show the objects as they were when the first one was read.
fn list(state: &mut State, address: &Address, parameters: &Parameters) -> Response {
    let limit = parameters.get("limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let limit = if limit == 0 { usize::MAX } else { limit };
    let expired = || answer(&failure(410, "Expired", "the continue token is too old", None));
    let token = parameters.get("continue").filter(|token| !token.is_empty());
    let (version, objects, start) = match token {
        None => {
            let mut objects = state.objects.all(&address.resource, address.namespace.as_deref());
            if let Some(selector) = parameters.get("labelSelector").filter(|text| !text.is_empty()) {
                objects.retain(|object| selects(selector, object));
            }
            (state.objects.version(), Arc::new(objects), 0)
        }
        Some(token) => {
            let read = token.split_once('|').and_then(|(version, start)| {
                Some((version.parse::<u64>().ok()?, start.parse::<usize>().ok()?))
            });
            let Some((version, start)) = read else { return expired() };
            let key = (address.resource.clone(), version);
            let Some(objects) = state.snapshots.get(&key).cloned() else { return expired() };
            if state.objects.is_forgotten(version) {
                return expired();
            }
            (version, objects, start)
        }
    };
    let end = start.saturating_add(limit).min(objects.len());
    let next = (end < objects.len()).then(|| format!("{version}|{end}"));
    let page = objects.get(start..end).unwrap_or_default().to_vec();
    if next.is_some() {
        state.snapshots.insert((address.resource.clone(), version), objects);
        while state.snapshots.len() > SNAPSHOTS {
            let oldest = state.snapshots.keys().min_by_key(|(_, version)| *version).cloned();
            oldest.map(|key| state.snapshots.remove(&key));
        }
    }
    answer(&(
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": page}),
    ))
}

/// `key=value,key,!key`: as much of label selectors as is needed here.
fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').all(|part| match (part.split_once('='), part.strip_prefix('!')) {
        (Some((key, value)), _) => labels[key.trim_end_matches('!')] == value.trim_start_matches('='),
        (None, Some(key)) => labels[key].is_null(),
        (None, None) => !labels[part].is_null(),
    })
}

fn watch(shared: Arc<Shared>, address: Address, parameters: &Parameters) -> Response {
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

fn answer((code, body): &Answer) -> Response {
    let code = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
