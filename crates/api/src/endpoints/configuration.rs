//! `/config`: the settings in force, read only (section 17). Secrets are hidden (A27).

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::App;
use crate::web::body::AnyText;
use crate::web::failure::Failure;
use crate::web::parameters::Parameters;
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(all, put, post))
        .routes(routes!(one))
        .routes(routes!(all_alias, put_alias, post_alias))
        .routes(routes!(one_alias))
}

/// Settings in force, nested unless `flatten=true`.
#[utoipa::path(get, path = "/api/v1/config", tag = "information",
    params(("flatten" = Option<bool>, Query, description = "Dotted keys."), ("type" = Option<String>, Query, description = "`applied`; the layer `dynamic` is empty.")),
    responses((status = 200, description = "Settings by key; secrets are `***`.", body = Object)))]
pub(crate) async fn all(State(app): State<Arc<App>>, parameters: Parameters) -> Answer {
    let settings = settings(&app, &parameters);
    Ok(Reply::ok(if parameters.flag("flatten")? { flat(&settings) } else { nested(&settings) }))
}

/// The same as `/config`.
#[utoipa::path(get, path = "/api/v1/configuration", tag = "information",
    params(("flatten" = Option<bool>, Query, description = "Dotted keys."), ("type" = Option<String>, Query, description = "`applied`; the layer `dynamic` is empty.")),
    responses((status = 200, description = "Settings by key; secrets are `***`.", body = Object)))]
pub(crate) async fn all_alias(app: State<Arc<App>>, parameters: Parameters) -> Answer {
    all(app, parameters).await
}

/// One setting, or those below a key.
#[utoipa::path(get, path = "/api/v1/config/{key}", tag = "information",
    params(("key" = String, Path, description = "Dotted key.", example = "vamp.namespace"), ("flatten" = Option<bool>, Query, description = "Dotted keys.")),
    responses((status = 200, description = "Its value.", body = Value), (status = 404, description = "No such key.", body = crate::schema::Error)))]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    parameters: Parameters,
) -> Answer {
    let settings = settings(&app, &parameters);
    let flatten = parameters.flag("flatten")?;
    find(&settings, &key, flatten)
        .map(Reply::ok)
        .ok_or_else(|| Failure::not_found(format!("Configuration key cannot be found: '{key}'.")))
}

/// The same as `/config/{key}`.
#[utoipa::path(get, path = "/api/v1/configuration/{key}", tag = "information",
    params(("key" = String, Path, description = "Dotted key.", example = "vamp.namespace"), ("flatten" = Option<bool>, Query, description = "Dotted keys.")),
    responses((status = 200, description = "Its value.", body = Value), (status = 404, description = "No such key.", body = crate::schema::Error)))]
pub(crate) async fn one_alias(app: State<Arc<App>>, key: Path<String>, parameters: Parameters) -> Answer {
    one(app, key, parameters).await
}

/// Refused: settings are made where the program is started.
#[utoipa::path(put, path = "/api/v1/config", tag = "information", request_body(content = Object, description = "Settings."),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn put(_: AnyText) -> Answer {
    Err(read_only())
}

/// Refused, as PUT.
#[utoipa::path(post, path = "/api/v1/config", tag = "information", request_body(content = Object, description = "Settings."),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn post(_: AnyText) -> Answer {
    Err(read_only())
}

/// Refused, as `/config`.
#[utoipa::path(put, path = "/api/v1/configuration", tag = "information", request_body(content = Object, description = "Settings."),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn put_alias(_: AnyText) -> Answer {
    Err(read_only())
}

/// Refused, as `/config`.
#[utoipa::path(post, path = "/api/v1/configuration", tag = "information", request_body(content = Object, description = "Settings."),
    responses((status = 400, description = "Always.", body = crate::schema::Error)))]
pub(crate) async fn post_alias(_: AnyText) -> Answer {
    Err(read_only())
}

fn read_only() -> Failure {
    Failure::bad_request(
        "read-only",
        "Configuration cannot be changed through the API: set it by flag, environment variable or configuration file and restart.",
    )
}

/// Keys below `vamp.` only, secrets hidden.
fn settings(app: &App, parameters: &Parameters) -> BTreeMap<String, Value> {
    if parameters.text("type").is_some_and(|layer| layer.eq_ignore_ascii_case("dynamic")) {
        return BTreeMap::new();
    }
    let mut settings = app.process.settings.applied.clone();
    settings.insert("vamp.namespace".to_owned(), Value::from(app.namespace()));
    settings.retain(|key, _| key.starts_with("vamp."));
    for (key, value) in &mut settings {
        if is_secret(key) && !value.is_null() {
            *value = Value::from("***");
        }
    }
    settings
}

fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
    // The place of a secret is none.
    if last.ends_with("-file") {
        return false;
    }
    ["token", "password", "secret", "bearer", "private-key", "credential", "api-key"]
        .iter()
        .any(|word| last.contains(word))
}

fn flat(settings: &BTreeMap<String, Value>) -> Value {
    Value::Object(settings.clone().into_iter().collect())
}

fn nested(settings: &BTreeMap<String, Value>) -> Value {
    let mut root = Map::new();
    for (key, value) in settings {
        let mut place = &mut root;
        let mut segments = key.split('.').peekable();
        while let Some(segment) = segments.next() {
            if segments.peek().is_none() {
                place.insert(segment.to_owned(), value.clone());
                break;
            }
            let next = place.entry(segment).or_insert_with(|| Value::Object(Map::new()));
            // A key that is both a value and a prefix of others keeps the others.
            if !next.is_object() {
                *next = Value::Object(Map::new());
            }
            let Some(map) = next.as_object_mut() else { break };
            place = map;
        }
    }
    Value::Object(root)
}

fn find(settings: &BTreeMap<String, Value>, key: &str, flatten: bool) -> Option<Value> {
    if let Some(value) = settings.get(key) {
        return Some(value.clone());
    }
    let prefix = format!("{key}.");
    let below: BTreeMap<_, _> = settings.iter().filter(|(k, _)| k.starts_with(&prefix)).collect();
    if below.is_empty() {
        return None;
    }
    if flatten {
        return Some(below.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect::<Map<_, _>>().into());
    }
    Some(nested(&below.into_iter().map(|(k, v)| (k[prefix.len()..].to_owned(), v.clone())).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("vamp.a.b".to_owned(), json!(1)),
            ("vamp.a.c.d".to_owned(), json!("x")),
            ("vamp.namespace".to_owned(), json!("default")),
        ])
    }

    #[test]
    fn forms() {
        assert_eq!(flat(&sample()), json!({"vamp.a.b": 1, "vamp.a.c.d": "x", "vamp.namespace": "default"}));
        assert_eq!(
            nested(&sample()),
            json!({"vamp": {"a": {"b": 1, "c": {"d": "x"}}, "namespace": "default"}})
        );
        assert_eq!(find(&sample(), "vamp.a", false), Some(json!({"b": 1, "c": {"d": "x"}})));
        assert_eq!(find(&sample(), "vamp.a", true), Some(json!({"vamp.a.b": 1, "vamp.a.c.d": "x"})));
        assert_eq!(find(&sample(), "vamp.a.b", false), Some(json!(1)));
        assert_eq!(find(&sample(), "vamp.x", false), None);
        assert_eq!(find(&sample(), "vamp.a.", false), None);
    }

    #[test]
    fn secrets() {
        for (key, secret) in [
            ("vamp.http-api.tokens", true),
            ("vamp.x.password", true),
            ("vamp.tls.private-key", true),
            ("vamp.token-file", false),
            ("vamp.http-api.port", false),
            ("vamp.token.lifetime", false),
        ] {
            assert_eq!(is_secret(key), secret, "{key}");
        }
    }
}
