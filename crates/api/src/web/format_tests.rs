use http::HeaderValue;

use super::*;

#[test]
fn accept_chooses_the_format() {
    let cases: &[(&str, Option<Format>)] = &[
        ("", Some(Format::Json)),
        ("*/*", Some(Format::Json)),
        ("*/*;q=0.1", Some(Format::Json)),
        ("application/json", Some(Format::Json)),
        ("application/json;q=0.9", Some(Format::Json)),
        ("application/json; charset=utf-8", Some(Format::Json)),
        ("APPLICATION/JSON", Some(Format::Json)),
        ("application/x-yaml", Some(Format::Yaml)),
        ("application/yaml", Some(Format::Yaml)),
        ("text/yaml", Some(Format::Yaml)),
        ("application/x-yaml, application/json;q=0.5", Some(Format::Yaml)),
        ("application/x-yaml;q=0.5, application/json", Some(Format::Json)),
        ("application/x-yaml, application/json", Some(Format::Yaml)),
        ("application/json, text/plain, */*", Some(Format::Json)),
        ("*/*, application/x-yaml", Some(Format::Yaml)),
        ("application/json;q=0, */*", Some(Format::Yaml)),
        ("application/json;q=0", None),
        ("text/html", Some(Format::Json)),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(Format::Json)),
        ("image/png", None),
        ("image/png, application/x-yaml;q=0.1", Some(Format::Yaml)),
        ("nonsense", None),
    ];
    for (accept, expected) in cases {
        assert_eq!(choose(accept), *expected, "{accept}");
    }
}

#[test]
fn the_message_names_what_came() {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("image/png"));
    let failure = Format::negotiate(&headers).unwrap_err();
    assert_eq!(failure.status(), StatusCode::NOT_ACCEPTABLE);
    assert!(failure.message().contains("but not: image/png"), "{}", failure.message());
}

#[test]
fn content_types() {
    let cases = [
        (None, true),
        (Some("application/json"), true),
        (Some("application/json;charset=utf-8"), true),
        (Some("Application/X-YAML"), true),
        (Some("text/plain"), true),
        (Some("application/x-www-form-urlencoded"), true),
        (Some(""), true),
        (Some("application/xml"), false),
        (Some("multipart/form-data; boundary=x"), false),
        (Some("application/javascript"), false),
    ];
    for (value, accepted) in cases {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        let result = check_content_type(&headers);
        assert_eq!(result.is_ok(), accepted, "{value:?}");
        if let Err(failure) = result {
            assert_eq!(failure.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert!(failure.message().contains("application/x-yaml"));
        }
    }
}
