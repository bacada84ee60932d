//! `sava-product`: products of a locale as JSON, in a version that clients choose by media type.
//!
//! ```text
//! GET /products/ie    Accept: application/vnd.sava.v1+json  -> a flat array
//!                     Accept: application/vnd.sava.v2+json  -> {"products": [..]}, price as amount and currency
//!                     Accept: */* or none                   -> the newest that this version has
//!                     Accept: something else                -> 406, with what there is
//! ```
//!
//! Version 1.x speaks v1. Version 2.x speaks v2 and still v1, so that clients that ask for v1 survive the upgrade;
//! those that ask for nothing get the new shape. That is the risk that a release of 2.x carries.

mod media;

use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::catalogue::{LOCALES, Locale, PRODUCTS, Product};
use crate::faults::{self, Service};
use crate::settings::{self, SettingsError};
use crate::{Faults, ServeError, Server};
use media::Shape;

/// How the service is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The version that it is, for example `1.0.3`.
    pub version: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What goes wrong.
    pub faults: Faults,
}

impl Settings {
    /// From arguments, else `SAVA_VERSION` and `SAVA_BIND`, else `1.0.3` on `127.0.0.1:8080`; faults from
    /// `SAVA_ERROR_RATE` and `SAVA_LATENCY`.
    ///
    /// # Errors
    /// A value that cannot be understood.
    pub fn read(
        version: Option<&str>,
        listen: Option<&str>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        let version = settings::pick(version, "SAVA_VERSION", environment);
        let listen = settings::pick(listen, "SAVA_BIND", environment);
        Ok(Self {
            version: settings::version(version.as_deref().unwrap_or("1.0.3"))?,
            listen: settings::listen(listen.as_deref(), 8080)?,
            faults: Faults::read(environment)?,
        })
    }
}

/// Serves until SIGTERM or SIGINT, then finishes the requests in flight.
///
/// # Errors
/// The address cannot be used.
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    let version = settings.version.clone();
    let server = start(settings).await?;
    tracing::info!(address = %server.address(), version, "sava-product listens");
    server.until_signal().await
}

/// Serves in the background.
///
/// # Errors
/// The address cannot be used.
pub async fn start(settings: Settings) -> Result<Server, ServeError> {
    Server::start(settings.listen, router(&settings)).await
}

fn router(settings: &Settings) -> Router {
    let service = Service::new(&settings.version, settings.faults, || {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failure",
            "This answer fails on purpose (SAVA_ERROR_RATE)",
            json!({}),
        )
    });
    let version = settings.version.clone();
    Router::new()
        .route("/", get(index))
        .route("/products", get(index))
        .route("/products/{locale}", get(list))
        .route("/products/{locale}/{id}", get(one))
        .route("/health", get(move || std::future::ready(Json(json!({"status": "ok", "version": version})))))
        .fallback(|| {
            std::future::ready(problem(
                StatusCode::NOT_FOUND,
                "not-found",
                "There is nothing here",
                json!({}),
            ))
        })
        .with_state(Shape::of(&settings.version))
        .layer(middleware::from_fn_with_state(service, faults::layer))
}

/// Where to go from here.
async fn index() -> Response {
    let links: Vec<String> = LOCALES.iter().map(|locale| format!("/products/{}", locale.code)).collect();
    Json(json!({"locales": links})).into_response()
}

async fn list(State(newest): State<Shape>, Path(code): Path<String>, headers: HeaderMap) -> Response {
    answer(newest, &headers, &code, |shape, locale| {
        let products: Vec<Value> = PRODUCTS.iter().map(|product| shape_of(product, shape, locale)).collect();
        Some(match shape {
            Shape::V1 => Value::Array(products),
            Shape::V2 => json!({"locale": locale.code, "products": products}),
        })
    })
}

async fn one(
    State(newest): State<Shape>,
    Path((code, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(newest, &headers, &code, |shape, locale| {
        let product = PRODUCTS.iter().find(|product| product.id.to_string() == id)?;
        Some(shape_of(product, shape, locale))
    })
}

/// Finds locale and shape, and answers in it.
fn answer(
    newest: Shape,
    headers: &HeaderMap,
    code: &str,
    body: impl FnOnce(Shape, &Locale) -> Option<Value>,
) -> Response {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let Some((shape, content_type)) = media::choose(&accept.join(","), newest) else {
        let supported = newest.all();
        let message = format!(
            "None of the accepted media types is available; this version has {}",
            supported.join(" and ")
        );
        return problem(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            &message,
            json!({"supported": supported}),
        );
    };
    let Some(locale) = Locale::find(code) else {
        let known: Vec<&str> = LOCALES.iter().map(|locale| locale.code).collect();
        return problem(
            StatusCode::NOT_FOUND,
            "unknown-locale",
            "There is no store for this locale",
            json!({"known": known}),
        );
    };
    match body(shape, locale) {
        Some(body) => {
            let headers = [(header::CONTENT_TYPE, content_type), (header::VARY, "Accept")];
            (headers, body.to_string()).into_response()
        }
        None => problem(StatusCode::NOT_FOUND, "unknown-product", "There is no such product", json!({})),
    }
}

fn shape_of(product: &Product, shape: Shape, locale: &Locale) -> Value {
    let (title, description) = product.text(locale.language);
    let price = locale.price(product.euro_cents);
    match shape {
        Shape::V1 => json!({
            "id": product.id,
            "title": title,
            "description": description,
            "price": price.0 as f64 / 100.0,
            "currency": locale.currency,
            "art": product.art,
        }),
        Shape::V2 => json!({
            "id": product.id,
            "name": title,
            "description": description,
            "price": {"amount": price.plain(), "currency": locale.currency},
            "tags": product.tags,
            "art": product.art,
        }),
    }
}

/// An error as JSON.
fn problem(status: StatusCode, code: &str, message: &str, more: Value) -> Response {
    let mut body = json!({"error": code, "message": message});
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    (status, [(header::VARY, "Accept")], Json(body)).into_response()
}

#[cfg(test)]
mod tests;
