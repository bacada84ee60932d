use std::time::{Duration, Instant};

use reqwest::{Client, Response, StatusCode};

use super::media::choose;
use super::*;

async fn server(version: &str, environment: &[(&str, &str)]) -> Server {
    let lookup = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    start(Settings::read(Some(version), Some("127.0.0.1:0"), &lookup).unwrap()).await.unwrap()
}

async fn get(server: &Server, path: &str, accept: Option<&str>) -> Response {
    let mut request = Client::new().get(format!("http://{}{path}", server.address()));
    if let Some(accept) = accept {
        request = request.header("Accept", accept);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

const V1: &str = "application/vnd.sava.v1+json";
const V2: &str = "application/vnd.sava.v2+json";

#[tokio::test]
async fn version_1_is_a_flat_array() {
    let server = server("1.0.3", &[]).await;
    let response = get(&server, "/products/ie", None).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), V1);
    assert_eq!(header(&response, "vary"), "Accept");
    assert_eq!(header(&response, "x-sava-version"), "1.0.3");
    let body: Value = response.json().await.unwrap();
    let first = &body.as_array().unwrap()[0];
    assert_eq!(first["title"], "Pour-over Patience Mug");
    assert_eq!((first["price"].as_f64(), first["currency"].as_str()), (Some(18.5), Some("EUR")));
    assert_eq!(get(&server, "/products/ie", Some(V2)).await.status(), StatusCode::NOT_ACCEPTABLE);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn version_2_has_another_shape_and_still_speaks_1() {
    let server = server("2.0.1", &[]).await;
    let response = get(&server, "/products/uk", None).await;
    assert_eq!(header(&response, "content-type"), V2);
    let body: Value = response.json().await.unwrap();
    let first = &body["products"][0];
    assert_eq!(first["name"], "Pour-over Patience Mug");
    assert_eq!(first["price"], json!({"amount": "16.00", "currency": "GBP"}));

    let response = get(&server, "/products/uk", Some(V1)).await;
    assert_eq!(header(&response, "content-type"), V1);
    assert!(response.json::<Value>().await.unwrap().is_array());

    let response = get(&server, "/products/uk", Some("application/vnd.sava.v3+json")).await;
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
    assert_eq!(header(&response, "vary"), "Accept");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], "not-acceptable");
    assert_eq!(body["supported"], json!([V1, V2]));
}

#[tokio::test]
async fn locales_products_and_dead_ends() {
    let server = server("1.0.3", &[]).await;
    let check = async |path: &str, status: u16, part: &str| {
        let response = get(&server, path, Some("application/json")).await;
        assert_eq!(response.status(), status, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains(part), "{path}: {text}");
    };
    check("/", 200, "/products/nl").await;
    check("/products", 200, "/products/ie").await;
    check("/products/NL", 200, "Slow-koffiemok").await;
    check("/products/de", 200, "Geduldsbecher").await;
    check("/products/us", 200, "USD").await;
    check("/products/ie/3", 200, "Succulent").await;
    check("/products/ie/99", 404, "unknown-product").await;
    check("/products/xx", 404, "\"known\":[\"ie\"").await;
    check("/nowhere", 404, "not-found").await;
    check("/health", 200, "\"ok\"").await;
}

#[test]
fn the_best_acceptable_type_is_chosen() {
    let check = |accept: &str, newest: Shape, expected: Option<(Shape, &str)>| {
        assert_eq!(choose(accept, newest), expected, "{accept}");
    };
    let (one, two) = (Some((Shape::V1, V1)), Some((Shape::V2, V2)));
    for newest in [Shape::V1, Shape::V2] {
        let own = if newest == Shape::V1 { one } else { two };
        check("", newest, own);
        check("*/*", newest, own);
        check("application/*;q=0.1", newest, own);
        check("text/html,application/xhtml+xml,*/*;q=0.8", newest, own);
        check(V1, newest, one);
        check("Application/VND.sava.V1+JSON", newest, one);
        check("application/json", newest, Some((newest, "application/json")));
        check("text/html", newest, None);
        check("application/vnd.sava.v9+json", newest, None);
        check("application/vnd.sava.v1+json;q=0", newest, None);
        check("*/*;q=nonsense", newest, None);
        check("application/vnd.sava.v9+json, application/vnd.sava.v1+json;q=0.5", newest, one);
        check("*/*, application/vnd.sava.v1+json", newest, one);
    }
    check(V2, Shape::V1, None);
    check(V2, Shape::V2, two);
    check("application/vnd.sava.v2+json;q=0.5, application/vnd.sava.v1+json", Shape::V2, one);
    check("application/vnd.sava.v2+json, application/vnd.sava.v1+json;q=0.5", Shape::V2, two);
    check("application/vnd.sava.v2+json, application/vnd.sava.v1+json;q=0.5", Shape::V1, one);
    check(
        "application/json; charset=utf-8; q=0.3, */*;q=0.2",
        Shape::V1,
        Some((Shape::V1, "application/json")),
    );
}

#[test]
fn versions_decide_the_shape() {
    for (version, shape) in [
        ("1.0.3", Shape::V1),
        ("0.9", Shape::V1),
        ("2.0.1", Shape::V2),
        ("v2", Shape::V2),
        ("3.1", Shape::V2),
        ("latest", Shape::V2),
    ] {
        assert_eq!(Shape::of(version), shape, "{version}");
    }
}

#[tokio::test]
async fn errors_are_spread_evenly_and_spare_health() {
    let server = server("1.0.3", &[("SAVA_ERROR_RATE", "25")]).await;
    let mut failed = Vec::new();
    for i in 0..40 {
        let response = get(&server, "/products/ie", None).await;
        assert_eq!(header(&response, "x-sava-version"), "1.0.3");
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
            failed.push(i);
        }
        assert_eq!(get(&server, "/health", None).await.status(), StatusCode::OK);
    }
    assert_eq!(failed, (3..40).step_by(4).collect::<Vec<_>>());
}

#[test]
fn every_error_rate_is_exact() {
    for hundredths in [0, 1, 50, 100, 3_333, 5_000, 9_999, 10_000] {
        let faults = Faults { errors: hundredths, ..Faults::default() };
        let failed = (0..10_000).filter(|count| faults.fails(*count)).count();
        assert_eq!(failed, usize::from(hundredths));
        assert_eq!(faults.fails(u64::MAX), faults.fails(u64::MAX % 10_000));
    }
}

#[tokio::test]
async fn latency_is_added() {
    let server = server("1.0.3", &[("SAVA_LATENCY", "120ms")]).await;
    let begin = Instant::now();
    get(&server, "/products/ie", None).await;
    assert!(begin.elapsed() >= Duration::from_millis(120));
}

#[test]
fn settings_say_what_is_wrong() {
    let none = |_: &str| None;
    let settings = Settings::read(None, None, &none).unwrap();
    assert_eq!(
        (settings.version.as_str(), settings.listen.to_string().as_str()),
        ("1.0.3", "127.0.0.1:8080")
    );
    let listen =
        |text: &str| Settings::read(None, Some(text), &none).map(|settings| settings.listen.to_string());
    assert_eq!(listen("127.9.9.9:81").unwrap(), "127.9.9.9:81");
    assert_eq!(listen(":81").unwrap(), "127.0.0.1:81");
    assert_eq!(listen("[::1]:81").unwrap(), "[::1]:81");
    assert!(listen("here").unwrap_err().to_string().contains("ADDRESS:PORT"));
    assert!(Settings::read(Some("1.0\r\nx: y"), None, &none).is_err());
    for (name, value, good) in [
        ("SAVA_ERROR_RATE", "12.5%", true),
        ("SAVA_ERROR_RATE", "101", false),
        ("SAVA_ERROR_RATE", "-1", false),
        ("SAVA_ERROR_RATE", "NaN", false),
        ("SAVA_ERROR_RATE", "some", false),
        ("SAVA_ERROR_RATE", "", true),
        ("SAVA_LATENCY", "0", true),
        ("SAVA_LATENCY", "1.5s", true),
        ("SAVA_LATENCY", "150", false),
        ("SAVA_LATENCY", "-1s", false),
        ("SAVA_LATENCY", "2m", false),
        ("SAVA_LATENCY", "61s", false),
    ] {
        let result = Settings::read(None, None, &|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(result.is_ok(), good, "{name}={value}: {result:?}");
    }
}
