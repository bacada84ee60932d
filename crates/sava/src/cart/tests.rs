use axum::http::HeaderMap;
use reqwest::{Client, redirect::Policy};
use serde_json::{Value, json};

use super::basket::Basket;
use super::pages::escape;
use super::shelf::understand;
use super::*;
use crate::money::Cents;
use crate::product;

async fn products(version: &str) -> Server {
    product::start(product::Settings::read(Some(version), Some("127.0.0.1:0"), &|_| None).unwrap())
        .await
        .unwrap()
}

async fn front(version: &str, locale: &str, products: &str) -> Server {
    let lookup = |name: &str| match name {
        "LOCALE" => Some(locale.to_owned()),
        "SAVA_PRODUCT_URL" => Some(products.to_owned()),
        _ => None,
    };
    start(Settings::read(Some(version), Some("127.0.0.1:0"), &lookup).unwrap()).await.unwrap()
}

/// A browser with one tab.
struct Browser {
    client: Client,
    base: String,
    cookie: Option<String>,
}

impl Browser {
    fn new(front: &Server) -> Self {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, base: format!("http://{}", front.address()), cookie: None }
    }

    async fn get(&mut self, path: &str) -> (u16, String, HeaderMap) {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    async fn post(&mut self, path: &str, form: &str) -> (u16, String, HeaderMap) {
        let request = self
            .client
            .post(format!("{}{path}", self.base))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        self.send(request).await
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> (u16, String, HeaderMap) {
        let request = match &self.cookie {
            Some(cookie) => request.header("Cookie", cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, response.text().await.unwrap(), headers)
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn a_customer_buys_nothing_at_all() {
    let products = products("1.0.3").await;
    let front = front("1.0.5", "IE", &format!("http://{}/", products.address())).await;
    let mut browser = Browser::new(&front);

    let (status, page, response) = browser.get("/").await;
    assert_eq!(status, 200);
    assert!(page.contains("Pour-over Patience Mug") && page.contains("€18.50"), "{page}");
    assert!(page.contains("sava-cart 1.0.5 · sava-product 1.0.3"));
    assert!(page.contains("<html lang=en-IE>"));
    assert_eq!(header(&response, "x-sava-products"), "live 1.0.3");
    assert_eq!(header(&response, "x-sava-version"), "1.0.5");
    assert!(header(&response, "content-security-policy").starts_with("default-src 'none'"));
    for elsewhere in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "everything comes with the page: {elsewhere}");
    }

    let (_, page, _) = browser.get("/cart").await;
    assert!(page.contains("Your cart is empty"));
    assert_eq!(browser.get("/checkout").await.0, 303, "nothing to check out");

    let (status, _, response) = browser.post("/cart/add", "id=1").await;
    assert_eq!((status, header(&response, "location").as_str()), (303, "/cart"));
    browser.post("/cart/add", "id=1&quantity=2").await;
    browser.post("/cart/add", "id=8").await;
    let (_, page, _) = browser.get("/cart").await;
    assert!(page.contains("€55.50") && page.contains("€83.50"), "3 x 18.50, and 28.00: {page}");
    assert!(page.contains(">4<span class=sr> items in cart"));
    browser.post("/cart/update", "id=1&quantity=1").await;
    browser.post("/cart/update", "id=8&quantity=0").await;
    assert_eq!(browser.cookie.as_deref(), Some("sava_cart=1.1"));

    let (status, page, _) = browser.get("/checkout").await;
    assert!(status == 200 && page.contains("<label for=email>") && page.contains("1 × Pour-over"));
    let (status, page, _) = browser.post("/checkout", "name=%3Cb%3E&email=nobody&address=").await;
    assert_eq!(status, 422);
    assert!(page.contains("value=\"&lt;b&gt;\"") && !page.contains("<b>"));
    assert_eq!(page.matches("aria-invalid").count() - page.matches("[aria-invalid]").count(), 2);
    let (status, _, response) = browser.post("/checkout", "name=A&email=a%40b.ie&address=C").await;
    assert_eq!(status, 303);
    let thanks = header(&response, "location");
    let (_, page, _) = browser.get(&thanks).await;
    assert!(page.contains("Order number: <strong>S"));
    assert_eq!(browser.cookie.as_deref(), Some("sava_cart="), "the cart is empty again");
    front.stop().await.unwrap();
}

#[tokio::test]
async fn it_reads_later_messages_too() {
    for version in ["1.0.3", "2.0.1", "3.0.0"] {
        let products = products(version).await;
        let front = front("1.0.5", "UK", &format!("http://{}", products.address())).await;
        let (_, page, response) = Browser::new(&front).get("/").await;
        assert!(page.contains("Ironic Tote") && page.contains("£24.00"), "{version}");
        assert_eq!(header(&response, "x-sava-products"), format!("live {version}"));
    }
}

#[tokio::test]
async fn a_service_that_no_longer_speaks_version_1_is_asked_again() {
    let strict = Router::new().route(
        "/products/{locale}",
        get(async |headers: HeaderMap| match headers["accept"].to_str() {
            Ok("application/json") => {
                Json(json!({"page": 1, "goods": [{"sku": "x-1", "label": "Hat", "price": {"value": "7.5"}}]}))
                    .into_response()
            }
            _ => StatusCode::NOT_ACCEPTABLE.into_response(),
        }),
    );
    let products = Server::start("127.0.0.1:0".parse().unwrap(), strict).await.unwrap();
    let front = front("1.0.5", "IE", &format!("http://{}", products.address())).await;
    let (_, page, response) = Browser::new(&front).get("/").await;
    assert!(page.contains("Hat") && page.contains("€7.50"), "{page}");
    assert_eq!(header(&response, "x-sava-products"), "live");
}

#[tokio::test]
async fn customers_are_shielded_from_failures() {
    let service = products("1.0.3").await;
    let address = service.address();
    let front_with = front("1.0.5", "IE", &format!("http://{address}")).await;
    let mut browser = Browser::new(&front_with);
    browser.post("/cart/add", "id=1").await;
    assert!(browser.get("/").await.1.contains("Patience Mug"));
    service.stop().await.unwrap();
    let (status, page, response) = browser.get("/").await;
    assert!(status == 200 && page.contains("Patience Mug") && page.contains("as of a moment ago"));
    assert_eq!(header(&response, "x-sava-products"), "cached");
    assert!(browser.get("/cart").await.1.contains("€18.50"));

    // A store front that never reached the service has fruit, and says which things of the cart are missing.
    let without = front("1.0.5", "NL", &format!("http://{address}")).await;
    let mut other = Browser::new(&without);
    other.cookie = browser.cookie.clone();
    let (status, page, response) = other.get("/").await;
    assert!(
        status == 200 && page.contains("Appel") && page.contains("neem intussen wat fruit")
            || page.contains("Neem intussen wat fruit")
    );
    assert_eq!(header(&response, "x-sava-products"), "stub");
    assert!(other.get("/cart").await.1.contains("staan nu niet op de plank"));
    assert_eq!(other.cookie.as_deref(), Some("sava_cart=1.1"), "nothing is taken out");
}

#[tokio::test]
async fn locales_and_versions_show() {
    let products = products("1.0.3").await;
    let url = format!("http://{}", products.address());
    for (version, locale, parts) in [
        ("1.0.5", "uk", ["<html lang=en-GB>", "£16.00", "Things you did not know"]),
        ("2.0.0", "GB", ["<html lang=en-GB class=v2>", "£16.00", "New season."]),
        ("1.0.5", "nl", ["<html lang=nl-NL>", "€\u{a0}18,00", "In winkelmand"]),
        ("1.0.5", "DE", ["<html lang=de-DE>", "18,00\u{a0}€", "In den Warenkorb"]),
        ("1.0.5", "US", ["<html lang=en-US>", "$20.00", "Add to cart"]),
    ] {
        let front = front(version, locale, &url).await;
        let (_, page, _) = Browser::new(&front).get("/").await;
        for part in parts {
            assert!(page.contains(part), "{locale}: {part}");
        }
    }
}

#[tokio::test]
async fn odd_requests_get_a_page() {
    let front = front("1.0.5", "IE", "http://127.0.0.1:1").await;
    let mut browser = Browser::new(&front);
    assert_eq!(browser.get("/nowhere").await.0, 404);
    assert_eq!(browser.post("/cart/add", "id=abc").await.0, 400);
    assert_eq!(browser.post("/cart/add", "id=99999999999").await.0, 400);
    assert_eq!(browser.post("/cart/add", &"x".repeat(100_000)).await.0, 400);
    assert_eq!(browser.get("/health").await.0, 200);
    let (_, page, _) = browser.get("/thanks?order=%3Cscript%3Ealert(1)").await;
    assert!(page.contains("scriptalert1") && !page.contains("<script"));
}

#[test]
fn baskets_from_browsers_are_bounded() {
    let check = |text: &str, expected: &str| assert_eq!(Basket::parse(text).text(), expected, "{text}");
    check("1.2-7.1", "1.2-7.1");
    check("", "");
    check("7.1-1.2-1.3", "1.5-7.1");
    check("1.99999", "1.20");
    check("1.4294967295-1.4294967295", "1.20");
    check("1.0", "");
    check("x.1-2.y-3-4.-.5--6.1", "6.1");
    check("<script>.1", "");
    let many: Vec<String> = (0..1_000).map(|id| format!("{id}.1")).collect();
    assert_eq!(Basket::parse(&many.join("-")).lines().count(), 30);
    let mut headers = HeaderMap::new();
    headers.append("cookie", "a=b; sava_cart=3.1; c=d".parse().unwrap());
    assert_eq!(Basket::read(&headers).text(), "3.1");
}

#[test]
fn many_shapes_are_understood() {
    let locale = Locale::find("ie").unwrap();
    let check = |message: Value, expected: &[(&str, i64, &str)]| {
        let found = understand(&message, locale);
        let found: Vec<_> =
            found.iter().map(|i| (i.title.as_str(), i.price.0, i.currency.as_str())).collect();
        assert_eq!(found, expected, "{message}");
    };
    check(json!([{"id": 1, "title": "A", "price": 1.1}]), &[("A", 110, "EUR")]);
    check(json!([{"id": "1", "name": "A", "price": "1,1", "currency": "GBP"}]), &[("A", 110, "GBP")]);
    check(
        json!({"products": [{"name": "A", "price": {"amount": "12.5", "currency": "USD"}}]}),
        &[("A", 1250, "USD")],
    );
    check(json!({"x": [1, 2], "things": [{"label": "A", "price": {"value": 3}}]}), &[("A", 300, "EUR")]);
    check(
        json!([{"title": "A"}, {"price": 1}, 5, {"title": "", "price": 1}, {"title": "B", "price": -1}]),
        &[],
    );
    check(
        json!([{"id": 1, "title": "A", "price": 1}, {"id": 1, "title": "B", "price": 1}]),
        &[("A", 100, "EUR")],
    );
    check(json!([{"title": "A", "price": 1, "currency": "<b>"}]), &[("A", 100, "EUR")]);
    check(json!("nothing"), &[]);
    check(json!({}), &[]);
}

#[test]
fn money_is_exact() {
    for (text, cents) in [
        ("12.50", Some(1250)),
        ("12,5", Some(1250)),
        ("12", Some(1200)),
        ("0.01", Some(1)),
        ("12.505", None),
        ("-1", None),
        ("", None),
        (".5", None),
        ("1e3", None),
        ("99999999999999999999", None),
        ("9999999999", None),
    ] {
        assert_eq!(Cents::parse(text).map(|cents| cents.0), cents, "{text}");
    }
    assert_eq!(Cents::from_json(&json!(19.99)), Some(Cents(1999)));
    assert_eq!(Cents::from_json(&json!(1e300)), None);
    assert_eq!(Cents(5).plain(), "0.05");
}

#[test]
fn text_from_elsewhere_is_escaped() {
    assert_eq!(escape("<a href=\"x\" id='y'>&amp;"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;");
}

/// A cluster without DNS: the name leads nowhere, the address that Kubernetes puts into the environment does.
#[tokio::test]
async fn products_are_found_without_the_name() {
    let products = products("1.0.3").await;
    let address = products.address();
    let lookup = move |name: &str| match name {
        "SAVA_PRODUCT_SERVICE_HOST" => Some(address.ip().to_string()),
        "SAVA_PRODUCT_SERVICE_PORT" => Some(address.port().to_string()),
        _ => None,
    };
    let mut settings = Settings::read(None, Some("127.0.0.1:0"), &lookup).unwrap();
    // Not a question to the resolver of whoever runs this test.
    settings.products[0] = "http://127.0.0.1:1".to_owned();
    let front = start(settings).await.unwrap();
    let mut browser = Browser::new(&front);
    for _ in 0..2 {
        let (status, page, headers) = browser.get("/").await;
        assert_eq!(status, 200);
        assert!(page.contains("Pour-over Patience Mug"));
        assert!(headers["x-sava-products"].to_str().unwrap().starts_with("live"), "{headers:?}");
    }
}

#[test]
fn settings_say_what_is_wrong() {
    let read = |name: &'static str, value: &'static str| {
        Settings::read(None, None, &move |asked| (asked == name).then(|| value.to_owned()))
    };
    let settings = read("", "").unwrap();
    assert_eq!((settings.version.as_str(), settings.locale.as_str()), ("1.0.5", "ie"));
    assert_eq!(settings.products, ["http://sava-product:9070"]);
    let in_a_pod = |name: &str| match name {
        "SAVA_PRODUCT_SERVICE_HOST" => Some("fd00::7".to_owned()),
        "SAVA_PRODUCT_SERVICE_PORT" => Some("9071".to_owned()),
        _ => None,
    };
    let settings = Settings::read(None, None, &in_a_pod).unwrap();
    assert_eq!(settings.products, ["http://sava-product:9070", "http://[fd00::7]:9071"]);
    assert!(read("LOCALE", "XX").unwrap_err().to_string().contains("choose one of IE, UK"));
    assert!(read("SAVA_PRODUCT_URL", "sava-product:9070").is_err());
    assert!(read("SAVA_PRODUCT_URL", "https://x").is_err(), "no TLS client is built in");
}
