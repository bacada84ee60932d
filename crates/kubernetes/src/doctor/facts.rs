//! What there is of an installation, as far as the person may see it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use crate::access::manifests::{AGENT, CONTROLLER};
use crate::access::rights::{RIGHTS, Right, Scope, VAMP_GROUP};
use crate::crd;
use crate::explain::{chain, status};
use crate::services::plan::service_name;
use crate::user::User;

/// Questions under way at once.
const PARALLEL: usize = 8;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More objects than this are not looked at; what is wrong with many is wrong with the first ones.
const MOST: usize = 500;

/// Something that was asked for, or why it cannot be known.
pub type Answer<T> = Result<T, String>;

/// The API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// For example `v1.32.1`.
    pub version: String,
    /// Major and minor.
    pub number: (u32, u32),
    /// Its clock minus ours, in seconds.
    pub ahead_seconds: Option<i64>,
}

/// A custom resource definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// It is not there.
    Missing,
    /// It is that of this version.
    Same,
    /// It differs; where.
    Different(String),
    /// It is served, but the person may not read it.
    Served,
}

/// Whether somebody has a right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The row; for the person's own rights what it takes to use Vamp.
    pub right: Right,
    /// Namespace that it is about.
    pub namespace: Option<String>,
    /// The verbs that are missing.
    pub missing: Answer<Vec<String>>,
}

/// A Deployment or DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// `Deployment` or `DaemonSet`.
    pub kind: &'static str,
    /// Pods wanted.
    pub wanted: u64,
    /// Pods ready.
    pub ready: u64,
}

/// Pods of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pods {
    /// Ready ones.
    pub ready: Vec<String>,
    /// Others, with what holds them up.
    pub waiting: BTreeMap<String, String>,
    /// Those that carry the leader's label.
    pub leaders: Vec<String>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Identity of the leader; empty when nobody holds it.
    pub holder: String,
    /// Seconds since it was renewed, by the API server's clock.
    pub age_seconds: Option<i64>,
    /// How long it holds after that.
    pub duration_seconds: i64,
}

/// A Service of a gateway, or one that stands in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceFact {
    /// Name.
    pub name: String,
    /// Carries Vamp's mark.
    pub own: bool,
    /// Leads to the agents' pods.
    pub leads_to_agents: bool,
}

/// A gateway as custom resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayFact {
    /// Name.
    pub name: String,
    /// Name of its Service.
    pub service: String,
    /// Conditions that are `False`, with their messages.
    pub failing: Vec<(String, String)>,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Namespace of the environment.
    pub environment: String,
    /// Namespace of the controller.
    pub installation: String,
    /// The API server.
    pub server: Answer<Server>,
    /// Custom resource definitions by name.
    pub definitions: Vec<(String, Answer<Definition>)>,
    /// What the person needs.
    pub own_rights: Vec<Checked>,
    /// What the controller needs.
    pub controller_rights: Vec<Checked>,
    /// The controller.
    pub controller: Answer<Option<Controller>>,
    /// Its pods.
    pub controller_pods: Answer<Pods>,
    /// Who leads.
    pub lease: Answer<Option<Lease>>,
    /// The agents' pods, in the environment's namespace.
    pub agents: Answer<Pods>,
    /// Gateways as custom resources.
    pub gateways: Answer<Vec<GatewayFact>>,
    /// Services with Vamp's mark or the name of a gateway's.
    pub services: Answer<Vec<ServiceFact>>,
    /// The certificate authority of the installation, in its Secret.
    pub authority: Answer<Option<String>>,
    /// The certificate that agents of the environment see, in its ConfigMap.
    pub published: Answer<Option<String>>,
    /// Webhooks that may refuse Vamp's resources.
    pub webhooks: Answer<Vec<String>>,
}

/// What went wrong with a question.
struct Failure {
    code: Option<u16>,
    message: String,
}

async fn ask(user: &User, request: Result<Request<Vec<u8>>, http::Error>) -> Result<Value, Failure> {
    let request = request.map_err(|error| Failure { code: None, message: error.to_string() })?;
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(PATIENCE, user.client.request::<Value>(request)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let code = status(&error);
            let message = match code {
                Some(403) => format!("you may not see {path}"),
                _ => chain(&error),
            };
            Err(Failure { code, message })
        }
        Err(_) => Err(Failure { code: None, message: "the API server takes too long".into() }),
    }
}

async fn get(user: &User, path: &str) -> Result<Value, Failure> {
    ask(user, Request::get(path).body(Vec::new())).await
}

/// `None` when there is none.
async fn find(user: &User, path: &str) -> Answer<Option<Value>> {
    match get(user, path).await {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.code == Some(404) => Ok(None),
        Err(failure) => Err(failure.message),
    }
}

/// The first objects of a list.
async fn list(user: &User, path: &str, query: &str) -> Answer<Vec<Value>> {
    let path = format!("{path}?limit={MOST}{query}");
    let mut value = get(user, &path).await.map_err(|failure| failure.message)?;
    Ok(match value["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) async fn gather(user: &User, environment: &str, installation: &str) -> Facts {
    let server = server(user).await;
    let core = |namespace: &str, rest: &str| format!("/api/v1/namespaces/{namespace}/{rest}");
    let agents = format!("&labelSelector=io.vamp%3D{AGENT}");
    let controllers =
        "&labelSelector=app.kubernetes.io%2Fname%3Dvamp%2Capp.kubernetes.io%2Fcomponent%3Dcontroller";
    let lease_path = format!("/apis/coordination.k8s.io/v1/namespaces/{installation}/leases/{CONTROLLER}");
    let gateways_path = format!("/apis/{VAMP_GROUP}/{}/namespaces/{environment}/gateways", crd::VERSION);
    let (services_path, authority_path) =
        (core(environment, "services"), core(installation, "secrets/vamp-ca"));
    let (published_path, pods_path) = (core(environment, "configmaps/vamp-ca"), core(environment, "pods"));
    let controller_pods_path = core(installation, "pods");
    let account = format!("system:serviceaccount:{installation}:{CONTROLLER}");
    let now = server.as_ref().ok().and_then(|server| server.ahead_seconds).unwrap_or_default();
    let (controller, controller_pods, lease, agents, gateways, services, authority, published) = tokio::join!(
        controller(user, installation),
        list(user, &controller_pods_path, controllers),
        find(user, &lease_path),
        list(user, &pods_path, &agents),
        list(user, &gateways_path, ""),
        list(user, &services_path, ""),
        find(user, &authority_path),
        find(user, &published_path),
    );
    let gateways: Answer<Vec<GatewayFact>> = gateways.map(|items| items.iter().filter_map(gateway).collect());
    let names: Vec<String> =
        gateways.iter().flatten().map(|gateway: &GatewayFact| gateway.service.clone()).collect();
    Facts {
        definitions: definitions(user).await,
        own_rights: own_rights(user, environment, installation).await,
        controller_rights: controller_rights(user, environment, installation, &account).await,
        webhooks: webhooks(user).await,
        controller,
        controller_pods: controller_pods.map(|items| pods(&items)),
        lease: lease.map(|lease| lease.as_ref().map(|lease| self::lease(lease, now))),
        agents: agents.map(|items| pods(&items)),
        services: services.map(|items| items.iter().filter_map(|item| service(item, &names)).collect()),
        gateways,
        authority: authority.map(|secret| secret.map(|secret| text(&secret, "/data/tls.crt").to_owned())),
        published: published.map(|map| map.map(|map| text(&map, "/data/ca.crt").to_owned())),
        environment: environment.to_owned(),
        installation: installation.to_owned(),
        server,
    }
}

/// Version and clock, from one answer.
async fn server(user: &User) -> Answer<Server> {
    let request = Request::get("/version").body(Body::empty()).map_err(|error| error.to_string())?;
    let answer = tokio::time::timeout(PATIENCE, user.client.send(request)).await;
    let answer = answer.map_err(|_| "it takes too long".to_owned())?.map_err(|error| chain(&error))?;
    let now = SystemTime::now();
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let ahead_seconds = date.and_then(http_date).map(|theirs| {
        let ours = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        theirs - i64::try_from(ours).unwrap_or(i64::MAX)
    });
    if !answer.status().is_success() {
        return Err(format!("it answers {} to /version", answer.status()));
    }
    let version = get(user, "/version").await.map_err(|failure| failure.message)?;
    // Some clouds write `32+`.
    let number = |field: &str| {
        let digits: String = text(&version, field).chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_default()
    };
    Ok(Server {
        version: text(&version, "/gitVersion").to_owned(),
        number: (number("/major"), number("/minor")),
        ahead_seconds,
    })
}

/// Seconds since 1970 of `Sat, 28 Nov 2026 10:42:21 GMT`.
pub(super) fn http_date(text: &str) -> Option<i64> {
    let mut parts = text.split_once(", ")?.1.split(' ');
    let mut number = || parts.next();
    let day: i64 = number()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = number()?;
    let month = i64::try_from(months.iter().position(|name| *name == month)?).ok()? + 1;
    let year: i64 = number()?.parse().ok()?;
    seconds(year, month, day, number()?)
}

/// Seconds since 1970 of `2026-11-28T10:42:21.123456Z`.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    seconds(year, month, day, time.split('.').next()?)
}

fn seconds(year: i64, month: i64, day: i64, time: &str) -> Option<i64> {
    let mut time = time.split(':').map(str::parse::<i64>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

async fn definitions(user: &User) -> Vec<(String, Answer<Definition>)> {
    let mut all = Vec::new();
    for expected in crd::all() {
        let name = text(&expected, "/metadata/name").to_owned();
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
        let answer = match get(user, &path).await {
            Ok(actual) => Ok(match difference(&expected["spec"], &actual["spec"], "spec") {
                None => Definition::Same,
                Some(place) => Definition::Different(place),
            }),
            Err(Failure { code: Some(404), .. }) => Ok(Definition::Missing),
            Err(Failure { code: Some(403), .. }) => served(user, &expected).await,
            Err(failure) => Err(failure.message),
        };
        all.push((name, answer));
    }
    all
}

/// Everybody may see what is served.
async fn served(user: &User, expected: &Value) -> Answer<Definition> {
    let (group, plural) = (text(expected, "/spec/group"), text(expected, "/spec/names/plural"));
    let resources = find(user, &format!("/apis/{group}/{}", crd::VERSION)).await?.unwrap_or_default();
    let resources = resources["resources"].as_array().cloned().unwrap_or_default();
    let is_there = resources.iter().any(|resource| resource["name"] == plural);
    Ok(if is_there { Definition::Served } else { Definition::Missing })
}

/// The first place where what is expected is not there; the API server may add more.
pub(super) fn difference(expected: &Value, actual: &Value, place: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => expected.iter().find_map(|(key, value)| {
            match actual.get(key) {
                Some(other) => difference(value, other, &format!("{place}.{key}")),
                // Nothing is the same as not given, and what an older API server does not know it drops.
                None if is_nothing(value) || key == "x-kubernetes-validations" => None,
                None => Some(format!("{place}.{key}")),
            }
        }),
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let pairs = expected.iter().zip(actual).enumerate();
            pairs.into_iter().find_map(|(at, (a, b))| difference(a, b, &format!("{place}[{at}]")))
        }
        _ => (expected != actual).then(|| place.to_owned()),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// What a person needs to operate an environment from here.
fn own() -> [(Scope, Right); 3] {
    let row = |scope, group, resource, verbs, why| {
        (scope, Right { scope, group, resource, names: &[], verbs, module: "user", why })
    };
    [
        (row(Scope::Environment, VAMP_GROUP, "gateways", &["get", "update"], "operate gateways")),
        (row(Scope::Installation, "", "pods", &["list"], "find the controller that leads")),
        (row(
            Scope::Installation,
            "",
            "pods/portforward",
            &["create"],
            "reach the API through the API server",
        )),
    ]
}

async fn own_rights(user: &User, environment: &str, installation: &str) -> Vec<Checked> {
    let questions = own().into_iter().map(|(scope, right)| {
        let namespace = if scope == Scope::Environment { environment } else { installation };
        check(user, right, Some(namespace.to_owned()), None)
    });
    futures_util::stream::iter(questions).buffered(PARALLEL).collect().await
}

async fn controller_rights(
    user: &User,
    environment: &str,
    installation: &str,
    account: &str,
) -> Vec<Checked> {
    let questions = RIGHTS.iter().map(|right| {
        let namespace = match right.scope {
            Scope::Environment => Some(environment.to_owned()),
            Scope::Installation => Some(installation.to_owned()),
            _ => None,
        };
        check(user, *right, namespace, Some(account))
    });
    futures_util::stream::iter(questions).buffered(PARALLEL).collect().await
}

/// Asks for each verb of a row, about the person or about somebody else.
async fn check(user: &User, right: Right, namespace: Option<String>, account: Option<&str>) -> Checked {
    let mut missing = Ok(Vec::new());
    for verb in right.verbs {
        match (may(user, &right, verb, namespace.as_deref(), account).await, &mut missing) {
            (Ok(true), _) => {}
            (Ok(false), Ok(verbs)) => verbs.push((*verb).to_owned()),
            (Ok(false), Err(_)) => {}
            (Err(why), _) => {
                missing = Err(why);
                break;
            }
        }
    }
    Checked { right, namespace, missing }
}

async fn may(
    user: &User,
    right: &Right,
    verb: &str,
    namespace: Option<&str>,
    account: Option<&str>,
) -> Answer<bool> {
    let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
    let mut attributes =
        json!({"verb": verb, "group": right.group, "resource": resource, "subresource": subresource});
    if let Some(name) = right.names.first() {
        attributes["name"] = (*name).into();
    }
    if let Some(namespace) = namespace {
        attributes["namespace"] = namespace.into();
    }
    let mut spec = json!({"resourceAttributes": attributes});
    let base = "/apis/authorization.k8s.io/v1";
    let (kind, path) = match (account, namespace) {
        (None, _) => ("SelfSubjectAccessReview", format!("{base}/selfsubjectaccessreviews")),
        // Whoever administers a namespace may ask about others there.
        (Some(_), Some(namespace)) => {
            ("LocalSubjectAccessReview", format!("{base}/namespaces/{namespace}/localsubjectaccessreviews"))
        }
        (Some(_), None) => ("SubjectAccessReview", format!("{base}/subjectaccessreviews")),
    };
    let mut body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind});
    if let Some(account) = account {
        let namespace = account.split(':').nth(2).unwrap_or_default();
        spec["user"] = account.into();
        spec["groups"] = json!([
            "system:serviceaccounts",
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated"
        ]);
    }
    if let (Some(_), Some(namespace)) = (account, namespace) {
        body["metadata"] = json!({"namespace": namespace});
    }
    body["spec"] = spec;
    let request = Request::post(path)
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into_bytes());
    match ask(user, request).await {
        Ok(review) => Ok(review["status"]["allowed"] == true),
        Err(Failure { code: Some(403), .. }) => Err("you may not ask about the rights of others".into()),
        Err(failure) => Err(failure.message),
    }
}

async fn controller(user: &User, namespace: &str) -> Answer<Option<Controller>> {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{CONTROLLER}");
    let deployment = find(user, &path).await?;
    Ok(deployment.map(|deployment| Controller {
        kind: "Deployment",
        wanted: deployment["spec"]["replicas"].as_u64().unwrap_or(1),
        ready: deployment["status"]["readyReplicas"].as_u64().unwrap_or(0),
    }))
}

pub(super) fn pods(items: &[Value]) -> Pods {
    let mut pods = Pods::default();
    for item in items.iter().filter(|item| item["metadata"]["deletionTimestamp"].is_null()) {
        let name = text(item, "/metadata/name").to_owned();
        if text(item, "/metadata/labels/vamp.io~1leader") == "true" {
            pods.leaders.push(name.clone());
        }
        let conditions = item["status"]["conditions"].as_array().into_iter().flatten();
        let is_ready = conditions.clone().any(|c| c["type"] == "Ready" && c["status"] == "True");
        if is_ready {
            pods.ready.push(name);
            continue;
        }
        let containers = item["status"]["containerStatuses"].as_array().into_iter().flatten();
        let state = containers.filter_map(|container| {
            let waiting = &container["state"]["waiting"];
            let reason = text(waiting, "/reason");
            let message = text(waiting, "/message");
            (!reason.is_empty()).then(|| format!("{reason} {message}").trim().to_owned())
        });
        let unmet = conditions.filter(|c| c["status"] == "False").map(|c| text(c, "/message").to_owned());
        let why = state.chain(unmet).find(|why| !why.is_empty());
        let phase = text(item, "/status/phase").to_owned();
        pods.waiting.insert(name, why.unwrap_or(phase));
    }
    pods
}

fn lease(lease: &Value, ahead: i64) -> Lease {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX) + ahead;
    Lease {
        holder: text(lease, "/spec/holderIdentity").to_owned(),
        age_seconds: rfc3339(text(lease, "/spec/renewTime")).map(|renewed| now - renewed),
        duration_seconds: lease["spec"]["leaseDurationSeconds"].as_i64().unwrap_or_default(),
    }
}

fn gateway(item: &Value) -> Option<GatewayFact> {
    let name = model::name::GatewayName::parse(text(item, "/metadata/name")).ok()?;
    let conditions = item["status"]["conditions"].as_array().into_iter().flatten();
    let failing = conditions.filter(|condition| condition["status"] == "False");
    Some(GatewayFact {
        name: name.to_string(),
        service: service_name(&name),
        failing: failing.map(|c| (text(c, "/type").to_owned(), text(c, "/message").to_owned())).collect(),
    })
}

fn service(item: &Value, gateways: &[String]) -> Option<ServiceFact> {
    let name = text(item, "/metadata/name").to_owned();
    let own = text(item, "/metadata/labels/io.vamp") == "gateway";
    let selector = &item["spec"]["selector"];
    (own || gateways.contains(&name)).then(|| ServiceFact {
        leads_to_agents: *selector == json!({"io.vamp": AGENT}),
        name,
        own,
    })
}

async fn webhooks(user: &User) -> Answer<Vec<String>> {
    let mut found = Vec::new();
    for kind in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        for item in list(user, &format!("/apis/admissionregistration.k8s.io/v1/{kind}"), "").await? {
            let name = text(&item, "/metadata/name").to_owned();
            let hooks = item["webhooks"].as_array().into_iter().flatten();
            let mut rules = hooks.flat_map(|hook| hook["rules"].as_array().into_iter().flatten());
            let concerns = |value: &Value, ours: &str| {
                value.as_array().is_some_and(|all| all.iter().any(|one| one == ours || one == "*"))
            };
            if rules.any(|rule| concerns(&rule["apiGroups"], VAMP_GROUP)) {
                found.push(name);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
