//! `sava-cart`: the store front of one locale. Products page, cart and checkout, as plain HTML that needs no script.
//!
//! It is a tolerant reader of sava-product: it asks for version 1 of the message and tries to understand whatever
//! comes. When the product service is away, customers see the products that were read last, or a list of fruit.

mod art;
mod basket;
mod pages;
mod shelf;
mod texts;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;
use serde_json::json;

use crate::catalogue::{LOCALES, Locale};
use crate::faults::{self, Service};
use crate::settings::{self, SettingsError};
use crate::{Faults, ServeError, Server};
use basket::Basket;
use pages::Shop;
use shelf::{Shelf, Source};

/// Forms are short.
const MAX_BODY: usize = 8 * 1024;

/// Everything on a page comes with the page: styles and drawings inline, no script, nothing from elsewhere. So pages
/// of two versions can be served side by side without one asking for the files of the other.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How the store front is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The version that it is, for example `1.0.5`.
    pub version: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Base addresses of sava-product, in the order in which they are tried.
    pub products: Vec<String>,
    /// Code of the locale, for example `ie`; one that the shop knows.
    pub locale: String,
    /// What goes wrong.
    pub faults: Faults,
}

impl Settings {
    /// From arguments, else `SAVA_VERSION` and `SAVA_BIND`, else `1.0.5` on `127.0.0.1:3000`; `SAVA_PRODUCT_URL`,
    /// `LOCALE` (default `IE`), and faults from `SAVA_ERROR_RATE` and `SAVA_LATENCY`.
    ///
    /// Without `SAVA_PRODUCT_URL` the product service is `http://sava-product:9070`, and where that name is unknown, as in
    /// a cluster without DNS, the address of the Service `sava-product` that Kubernetes puts into the environment.
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
        let locale = settings::pick(None, "LOCALE", environment).unwrap_or_else(|| "IE".to_owned());
        let known = Locale::find(locale.trim()).ok_or_else(|| {
            let codes: Vec<String> = LOCALES.iter().map(|locale| locale.code.to_ascii_uppercase()).collect();
            settings::error("LOCALE", &locale, format!("choose one of {}", codes.join(", ")))
        })?;
        let products = match settings::pick(None, "SAVA_PRODUCT_URL", environment) {
            Some(url) => vec![url],
            None => {
                let host = settings::pick(None, "SAVA_PRODUCT_SERVICE_HOST", environment);
                let port = settings::pick(None, "SAVA_PRODUCT_SERVICE_PORT", environment);
                let service = host.map(|host| {
                    let host = if host.contains(':') { format!("[{host}]") } else { host };
                    format!("http://{host}:{}", port.as_deref().unwrap_or("9070"))
                });
                std::iter::once("http://sava-product:9070".to_owned()).chain(service).collect()
            }
        };
        for url in &products {
            let parsed = reqwest::Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.has_host());
            if parsed.is_none() {
                let expected = "give an http address, for example http://127.0.0.1:9070";
                return Err(settings::error("SAVA_PRODUCT_URL", url, expected));
            }
        }
        Ok(Self {
            version: settings::version(version.as_deref().unwrap_or("1.0.5"))?,
            listen: settings::listen(listen.as_deref(), 3000)?,
            products: products.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            locale: known.code.to_owned(),
            faults: Faults::read(environment)?,
        })
    }
}

/// Serves until SIGTERM or SIGINT, then finishes the requests in flight.
///
/// # Errors
/// The address cannot be used.
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    let (version, locale) = (settings.version.clone(), settings.locale.clone());
    let server = start(settings).await?;
    tracing::info!(address = %server.address(), version, locale, "sava-cart listens");
    server.until_signal().await
}

/// Serves in the background.
///
/// # Errors
/// The address cannot be used.
pub async fn start(settings: Settings) -> Result<Server, ServeError> {
    Server::start(settings.listen, router(&settings)).await
}

/// What every handler needs.
#[derive(Debug)]
struct Front {
    shop: Shop,
    shelf: Shelf,
}

fn router(settings: &Settings) -> Router {
    let locale = Locale::find(&settings.locale).unwrap_or(&LOCALES[0]);
    let front = Arc::new(Front {
        shop: Shop { version: settings.version.clone(), locale },
        shelf: Shelf::new(&settings.products, locale),
    });
    let service = Service::new(&settings.version, settings.faults, || {
        (StatusCode::INTERNAL_SERVER_ERROR, page_headers(), Html(pages::failure())).into_response()
    });
    let version = settings.version.clone();
    Router::new()
        .route("/", get(products))
        .route("/cart", get(cart))
        .route("/cart/add", post(add))
        .route("/cart/update", post(update))
        .route("/checkout", get(checkout).post(order))
        .route("/thanks", get(thanks))
        .route("/health", get(move || std::future::ready(Json(json!({"status": "ok", "version": version})))))
        .fallback(nothing)
        .with_state(front)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(service, faults::layer))
}

async fn products(State(front): State<Arc<Front>>, headers: HeaderMap) -> Response {
    let stock = front.shelf.stock().await;
    page(StatusCode::OK, &stock.source, front.shop.products(&stock, &Basket::read(&headers)))
}

async fn cart(State(front): State<Arc<Front>>, headers: HeaderMap) -> Response {
    let stock = front.shelf.stock().await;
    page(StatusCode::OK, &stock.source, front.shop.cart(&stock, &Basket::read(&headers)))
}

/// A line of the cart, as forms send it.
#[derive(Debug, Deserialize)]
struct Line {
    id: u32,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

async fn add(
    headers: HeaderMap,
    State(front): State<Arc<Front>>,
    form: Result<Form<Line>, FormRejection>,
) -> Response {
    change(&front, &headers, form, |basket, line| basket.add(line.id, line.quantity)).await
}

async fn update(
    headers: HeaderMap,
    State(front): State<Arc<Front>>,
    form: Result<Form<Line>, FormRejection>,
) -> Response {
    change(&front, &headers, form, |basket, line| basket.set(line.id, line.quantity)).await
}

async fn change(
    front: &Front,
    headers: &HeaderMap,
    form: Result<Form<Line>, FormRejection>,
    how: impl FnOnce(&mut Basket, &Line),
) -> Response {
    let Ok(Form(line)) = form else { return front.unclear(headers).await };
    let mut basket = Basket::read(headers);
    how(&mut basket, &line);
    ([(header::SET_COOKIE, basket.cookie())], Redirect::to("/cart")).into_response()
}

async fn checkout(State(front): State<Arc<Front>>, headers: HeaderMap) -> Response {
    let basket = Basket::read(&headers);
    if basket.is_empty() {
        return Redirect::to("/cart").into_response();
    }
    let stock = front.shelf.stock().await;
    page(StatusCode::OK, &stock.source, front.shop.checkout(&stock, &basket, &Buyer::default(), &[]))
}

/// What the checkout form asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Buyer {
    name: String,
    email: String,
    address: String,
}

impl Buyer {
    /// Names of the fields that cannot be used.
    fn missing(&self) -> Vec<&'static str> {
        let short = |text: &str| !text.trim().is_empty() && text.len() <= 200;
        let email = self.email.trim();
        let mail = short(email)
            && email.split_once('@').is_some_and(|(who, host)| !who.is_empty() && host.contains('.'));
        [("name", short(&self.name)), ("email", mail), ("address", short(&self.address))]
            .into_iter()
            .filter(|(_, good)| !good)
            .map(|(name, _)| name)
            .collect()
    }
}

/// The order is only an act: nothing is paid, sent or kept.
async fn order(
    State(front): State<Arc<Front>>,
    headers: HeaderMap,
    form: Result<Form<Buyer>, FormRejection>,
) -> Response {
    let basket = Basket::read(&headers);
    if basket.is_empty() {
        return Redirect::to("/cart").into_response();
    }
    let Ok(Form(buyer)) = form else { return front.unclear(&headers).await };
    let missing = buyer.missing();
    if !missing.is_empty() {
        let stock = front.shelf.stock().await;
        let body = front.shop.checkout(&stock, &basket, &buyer, &missing);
        return page(StatusCode::UNPROCESSABLE_ENTITY, &stock.source, body);
    }
    let thanks = Redirect::to(&format!("/thanks?order={}", basket.order_number()));
    ([(header::SET_COOKIE, Basket::default().cookie())], thanks).into_response()
}

#[derive(Debug, Deserialize)]
struct Thanks {
    #[serde(default)]
    order: String,
}

async fn thanks(
    State(front): State<Arc<Front>>,
    headers: HeaderMap,
    query: Result<Query<Thanks>, QueryRejection>,
) -> Response {
    let order = query.map(|Query(thanks)| thanks.order).unwrap_or_default();
    let order: String = order.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    page(StatusCode::OK, &Source::Unused, front.shop.thanks(&order, &Basket::read(&headers)))
}

async fn nothing(State(front): State<Arc<Front>>, headers: HeaderMap) -> Response {
    page(StatusCode::NOT_FOUND, &Source::Unused, front.shop.nothing(&Basket::read(&headers)))
}

impl Front {
    /// For forms that no page of ours sends.
    async fn unclear(&self, headers: &HeaderMap) -> Response {
        page(StatusCode::BAD_REQUEST, &Source::Unused, self.shop.nothing(&Basket::read(headers)))
    }
}

fn page_headers() -> [(HeaderName, HeaderValue); 4] {
    [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SECURITY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        // Every page shows the cart of one customer.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ]
}

/// A page, and in a header where its products came from: for scripts that watch a release.
fn page(status: StatusCode, source: &Source, body: String) -> Response {
    let mut response = (status, page_headers(), Html(body)).into_response();
    if let Some(value) = source.header() {
        response.headers_mut().insert(HeaderName::from_static("x-sava-products"), value);
    }
    response
}

#[cfg(test)]
mod tests;
