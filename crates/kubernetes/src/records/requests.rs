//! Requests about objects of kind `Record`, and what their failures mean for whoever made them.

use std::error::Error as _;
use std::time::Duration;

use http::Method;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use store::StoreError;
use tokio::time::{Instant, timeout};

use super::layout::{About, Object, manifest};
use crate::crd;
use crate::explain::{Attempt, explain, status};

/// Objects in one page of a list. They are larger than most.
const PAGE: u32 = 200;
/// How long a page may take. Less than the API's patience with the control plane: after a write whose fate is not known, a change waits
/// until everything is read again.
const PAGE_PATIENCE: Duration = Duration::from_secs(8);

/// Why a request came to nothing, by what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// The object is not of the version that was given, or is there already.
    Conflict,
    /// There is no such object.
    Missing,
    /// What was asked for is no longer to be had: a list begins anew.
    Expired,
    /// Nothing was done, and trying again may help.
    NotDone(String),
    /// It may have been done or not, and trying again may help.
    Unknown(String),
    /// Nothing was done, and trying again does not help until somebody does something.
    Refused(StoreError),
}

/// The way to the objects of one namespace.
#[derive(Clone)]
pub(super) struct Requests {
    client: Client,
    namespace: String,
    /// How long one request may take.
    patience: Duration,
}

/// A page of a list.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Deserialize, Default)]
struct ListMetadata {
    #[serde(rename = "continue", default)]
    next: Option<String>,
}

impl Requests {
    pub(super) fn new(client: Client, namespace: String, patience: Duration) -> Self {
        Self { client, namespace, patience }
    }

    /// The same, with no request that is waited for after `end`.
    pub(super) fn until(&self, end: Instant) -> Self {
        let left = end.saturating_duration_since(Instant::now());
        Self { patience: self.patience.min(left), ..self.clone() }
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// All objects, as they were at one moment: all pages of a list show the same one.
    pub(super) async fn list(&self) -> Result<Vec<Object>, Failure> {
        let mut objects = Vec::new();
        let mut next = None;
        loop {
            let parameters = ListParams { limit: Some(PAGE), continue_token: next, ..ListParams::default() };
            let request = Request::new(self.collection()).list(&parameters);
            let request = request.map_err(|error| Failure::NotDone(error.to_string()))?;
            let page: List = self.answer("list", PAGE_PATIENCE, request).await?;
            objects.extend(page.items);
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(token) => next = Some(token),
                None => return Ok(objects),
            }
        }
    }

    /// One object as it is now; none when there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Object>, Failure> {
        let path = format!("{}/{name}", self.collection());
        match self.send("get", Method::GET, path, None).await {
            Ok(object) => Ok(Some(object)),
            Err(Failure::Missing) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Creates an object, or replaces the one of `version`. Returns the new version.
    pub(super) async fn put(
        &self,
        name: &str,
        version: Option<&str>,
        about: &About,
        body: &str,
    ) -> Result<String, Failure> {
        let object = manifest(&self.namespace, name, version, about, body);
        let (verb, method, path) = match version {
            None => ("create", Method::POST, self.collection()),
            Some(_) => ("update", Method::PUT, format!("{}/{name}", self.collection())),
        };
        let written: Object = self.send(verb, method, path, Some(&object)).await?;
        Ok(written.metadata.resource_version)
    }

    /// Deletes an object; with `version`, only if it is that one. One that is gone already is fine.
    pub(super) async fn delete(&self, name: &str, version: Option<&str>) -> Result<(), Failure> {
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(version) = version {
            options["preconditions"] = json!({"resourceVersion": version});
        }
        let path = format!("{}/{name}", self.collection());
        match self.send::<Value>("delete", Method::DELETE, path, Some(&options)).await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn collection(&self) -> String {
        format!("/apis/{}/{}/namespaces/{}/records", crd::GROUP, crd::VERSION, self.namespace)
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        verb: &str,
        method: Method,
        path: String,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(bytes)
            .map_err(|error| Failure::NotDone(error.to_string()))?;
        self.answer(verb, self.patience, request).await
    }

    async fn answer<T: serde::de::DeserializeOwned>(
        &self,
        verb: &str,
        patience: Duration,
        request: http::Request<Vec<u8>>,
    ) -> Result<T, Failure> {
        match timeout(patience, self.client.request(request)).await {
            Ok(result) => result.map_err(|error| classify(&error, verb, &self.namespace)),
            Err(_) => Err(Failure::Unknown(format!(
                "the API server takes longer than {patience:.1?} to {verb} records in namespace '{}'",
                self.namespace
            ))),
        }
    }
}

/// What an error means for the request that met it.
fn classify(error: &kube::Error, verb: &str, namespace: &str) -> Failure {
    let message = || explain(error, Attempt { verb, resource: "records", namespace: Some(namespace) });
    let says = |text: &str| matches!(error, kube::Error::Api(status) if status.message.contains(text));
    match status(error) {
        // What the API server says when it knows the resource names the object.
        Some(404) if names_object(error) => Failure::Missing,
        Some(404) if says("namespaces \"") => Failure::Refused(StoreError::Unavailable(format!(
            "there is no namespace '{namespace}' to keep records in: create it"
        ))),
        Some(404) => Failure::Refused(StoreError::Unavailable(format!(
            "no matches for records.{group}/{version} in the cluster: its custom resources are not installed. Have an \
             administrator run: kubectl apply -f deploy/crds",
            group = crd::GROUP,
            version = crd::VERSION
        ))),
        Some(409) if says("being terminated") => Failure::Refused(StoreError::Unavailable(message())),
        Some(409) => Failure::Conflict,
        Some(410) => Failure::Expired,
        Some(429) => Failure::NotDone(message()),
        Some(403) if says("exceeded quota") => Failure::Refused(StoreError::Full(quota(error, namespace))),
        Some(403) if says("being terminated") => Failure::Refused(StoreError::Unavailable(format!(
            "namespace '{namespace}' is being deleted: nothing can be kept in it"
        ))),
        Some(500..) if says("database space exceeded") => Failure::Refused(StoreError::Full(
            "the cluster's etcd is full (database space exceeded): its administrator has to make room".into(),
        )),
        Some(408) => Failure::Unknown(message()),
        Some(400..500) => Failure::Refused(StoreError::Unavailable(message())),
        Some(_) => Failure::Unknown(message()),
        None if never_sent(error) => Failure::NotDone(message()),
        None => Failure::Unknown(message()),
    }
}

fn names_object(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let details = status.details.as_ref();
    details.is_some_and(|details| !details.name.is_empty() && details.kind != "namespaces")
}

fn quota(error: &kube::Error, namespace: &str) -> String {
    let kube::Error::Api(status) = error else { return String::new() };
    format!("a quota of namespace '{namespace}' leaves no room for records: {}", status.message)
}

/// True when there was no connection to send anything over.
fn never_sent(error: &kube::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        source = error.source();
    }
    matches!(error, kube::Error::Auth(_) | kube::Error::HttpError(_) | kube::Error::BuildRequest(_))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusDetails;

    use super::*;

    fn answer(code: u16, message: &str, name: &str, kind: &str) -> kube::Error {
        let details: StatusDetails =
            serde_json::from_value(json!({"name": name, "kind": kind})).expect("details");
        kube::Error::Api(Status::failure(message, "").with_code(code).with_details(details).boxed())
    }

    fn short(failure: &Failure) -> String {
        let text = format!("{failure:?}");
        text.split_inclusive(['(', '{'])
            .take(2)
            .collect::<String>()
            .replace(['(', '{', ' '], " ")
            .trim()
            .into()
    }

    #[test]
    fn what_answers_mean() {
        for (code, message, name, kind, expected) in [
            (404, "records.vamp.io \"head\" not found", "head", "records", "Missing"),
            (404, "404 page not found\n", "", "", "Refused Unavailable"),
            (404, "the server could not find the requested resource", "", "", "Refused Unavailable"),
            (404, "namespaces \"shop\" not found", "shop", "namespaces", "Refused Unavailable"),
            (409, "the object has been modified", "head", "records", "Conflict"),
            (409, "records.vamp.io \"head\" already exists", "head", "records", "Conflict"),
            (410, "too old", "", "", "Expired"),
            (429, "too many requests", "", "", "NotDone"),
            (403, "forbidden", "", "", "Refused Unavailable"),
            (403, "exceeded quota: records, requested: 1", "", "", "Refused Full"),
            (
                403,
                "unable to create new content because it is being terminated",
                "",
                "",
                "Refused Unavailable",
            ),
            (413, "too large", "", "", "Refused Unavailable"),
            (422, "invalid", "", "", "Refused Unavailable"),
            (500, "etcdserver: request timed out", "", "", "Unknown"),
            (500, "etcdserver: mvcc: database space exceeded", "", "", "Refused Full"),
            (503, "apiserver not ready", "", "", "Unknown"),
            (504, "timeout", "", "", "Unknown"),
        ] {
            let failure = classify(&answer(code, message, name, kind), "update", "shop");
            let found = short(&failure);
            assert!(found.starts_with(expected), "{code} {message}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_missing_definition_says_what_to_apply() {
        let failure = classify(&answer(404, "404 page not found\n", "", ""), "list", "shop");
        let Failure::Refused(error) = failure else { panic!("{failure:?}") };
        let text = error.to_string();
        assert!(
            text.contains("no matches for records.vamp.io") && text.contains("kubectl apply -f"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_refused_connection_sent_nothing() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let requests =
            Requests::new(Client::try_from(config).unwrap(), "shop".into(), Duration::from_secs(20));
        let failure = requests.get("head").await.unwrap_err();
        assert!(matches!(failure, Failure::NotDone(_)), "{failure:?}");
    }
}
