//! Where products come from: the product service, else what it said last, else fruit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::HeaderValue;
use reqwest::{StatusCode, header};
use serde_json::Value;

use crate::catalogue::{FRUIT, Language, Locale};
use crate::faults::VERSION_HEADER;
use crate::money::Cents;

/// The message that this store front was written for.
const WANTED: &str = "application/vnd.sava.v1+json";
/// Customers wait for products at most this long.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Longer messages are not read.
const MAX_MESSAGE: usize = 1024 * 1024;
/// Products shown at most.
const MAX_ITEMS: usize = 200;

/// A product as the store front shows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) id: u32,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) price: Cents,
    pub(super) currency: String,
    /// Word for a drawing; for fruit, a colour.
    pub(super) art: String,
}

/// Products, and how fresh they are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stock {
    pub(super) items: Arc<Vec<Item>>,
    pub(super) source: Source,
}

/// How products were come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Just now, from this version of the product service when it says which.
    Live(Option<String>),
    /// From an earlier answer.
    Cached,
    /// Fruit.
    Stub,
    /// The page shows no products.
    Unused,
}

impl Source {
    pub(super) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Live(Some(version)) => HeaderValue::try_from(format!("live {version}")).ok(),
            Self::Live(None) => Some(HeaderValue::from_static("live")),
            Self::Cached => Some(HeaderValue::from_static("cached")),
            Self::Stub => Some(HeaderValue::from_static("stub")),
            Self::Unused => None,
        }
    }
}

/// The reader of the product service.
#[derive(Debug)]
pub(super) struct Shelf {
    client: Option<reqwest::Client>,
    urls: Vec<String>,
    /// Which of them answered last, and so is asked first.
    first: AtomicUsize,
    locale: &'static Locale,
    last: RwLock<Option<Arc<Vec<Item>>>>,
}

impl Shelf {
    pub(super) fn new(products: &[String], locale: &'static Locale) -> Self {
        // Redirects and proxies of the environment would only hide where products come from.
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // Speaks plain HTTP only, and runs in images without any authorities.
            .tls_certs_only([])
            .build()
            .inspect_err(|error| tracing::error!(%error, "no HTTP client: only fruit today"))
            .ok();
        let urls = products.iter().map(|base| format!("{base}/products/{}", locale.code)).collect();
        Self { client, urls, first: AtomicUsize::new(0), locale, last: RwLock::default() }
    }

    /// The products now. Never fails: there is always fruit.
    pub(super) async fn stock(&self) -> Stock {
        match self.fetch().await {
            Ok((items, version)) => {
                let items = Arc::new(items);
                *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(items.clone());
                Stock { items, source: Source::Live(version) }
            }
            Err(error) => {
                tracing::warn!(urls = ?self.urls, error, "the product service is away");
                match self.last.read().unwrap_or_else(PoisonError::into_inner).clone() {
                    Some(items) => Stock { items, source: Source::Cached },
                    None => Stock { items: Arc::new(fruit(self.locale)), source: Source::Stub },
                }
            }
        }
    }

    async fn fetch(&self) -> Result<(Vec<Item>, Option<String>), String> {
        let mut answer = self.ask(WANTED).await?;
        if answer.status() == StatusCode::NOT_ACCEPTABLE {
            // Version 1 is no longer spoken: try to understand what is.
            answer = self.ask("application/json").await?;
        }
        if !answer.status().is_success() {
            return Err(format!("it answered {}", answer.status()));
        }
        let version = answer.headers().get(VERSION_HEADER.as_str()).and_then(|value| value.to_str().ok());
        let version = version.and_then(|text| crate::settings::version(text).ok());
        let mut message = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
            message.extend_from_slice(&chunk);
            if message.len() > MAX_MESSAGE {
                return Err("its answer is too long".to_owned());
            }
        }
        let message: Value = serde_json::from_slice(&message).map_err(|error| error.to_string())?;
        let items = understand(&message, self.locale);
        if items.is_empty() { Err("its answer has no products".to_owned()) } else { Ok((items, version)) }
    }

    /// The first answer of any address.
    async fn ask(&self, accept: &str) -> Result<reqwest::Response, String> {
        let client = self.client.as_ref().ok_or("no HTTP client")?;
        let first = self.first.load(Ordering::Relaxed);
        let mut last = "no address".to_owned();
        for step in 0..self.urls.len() {
            let at = (first + step) % self.urls.len();
            let request = client
                .get(&self.urls[at])
                .header(header::ACCEPT, accept)
                .header(header::USER_AGENT, "sava-cart");
            match request.send().await {
                Ok(answer) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}

/// The tolerant part: finds a list of products in whatever came, and skips what has no name or price.
pub(super) fn understand(message: &Value, locale: &Locale) -> Vec<Item> {
    let list = match message {
        Value::Array(list) => Some(list),
        Value::Object(fields) => ["products", "items", "data"]
            .iter()
            .filter_map(|name| fields.get(*name))
            .chain(fields.values())
            .find_map(|value| value.as_array().filter(|list| list.iter().any(Value::is_object))),
        _ => None,
    };
    let mut seen = std::collections::BTreeSet::new();
    list.into_iter()
        .flatten()
        .filter_map(|value| item(value, locale))
        .filter(|item| seen.insert(item.id))
        .take(MAX_ITEMS)
        .collect()
}

fn item(value: &Value, locale: &Locale) -> Option<Item> {
    let text =
        |names: &[&str]| names.iter().find_map(|name| value.get(name)?.as_str()).map(|text| clip(text, 300));
    let title = text(&["title", "name", "label"]).filter(|title| !title.trim().is_empty())?;
    let price = value.get("price")?;
    let amount = ["amount", "value"].iter().find_map(|name| price.get(name)).unwrap_or(price);
    let currency = price.get("currency").or_else(|| value.get("currency")).and_then(Value::as_str);
    let currency = currency
        .filter(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()))
        .unwrap_or(locale.currency);
    Some(Item {
        id: id(value.get("id").or_else(|| value.get("sku")), &title),
        price: Cents::from_json(amount)?,
        currency: currency.to_owned(),
        description: text(&["description", "summary"]).unwrap_or_default(),
        art: text(&["art"]).unwrap_or_default(),
        title,
    })
}

/// A number as it is; anything else becomes one.
fn id(value: Option<&Value>, title: &str) -> u32 {
    let text = match value {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => title.to_owned(),
    };
    text.parse().unwrap_or_else(|_| {
        text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    })
}

fn clip(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

pub(super) fn fruit(locale: &Locale) -> Vec<Item> {
    FRUIT
        .iter()
        .map(|(id, colour, [english, dutch, german], cents)| Item {
            id: *id,
            title: match locale.language {
                Language::English => *english,
                Language::Dutch => *dutch,
                Language::German => *german,
            }
            .to_owned(),
            description: String::new(),
            price: locale.price(*cents),
            currency: locale.currency.to_owned(),
            art: (*colour).to_owned(),
        })
        .collect()
}
