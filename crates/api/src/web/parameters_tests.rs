use super::*;

#[test]
fn values_are_decoded_and_kept_in_order() {
    let parameters = Parameters::parse("tag=gateways%3Ashop&tag=a+b&&page=1&flag&x=%ff");
    assert_eq!(parameters.all("tag").collect::<Vec<_>>(), ["gateways:shop", "a b"]);
    assert_eq!(parameters.text("tag"), Some("gateways:shop"));
    assert_eq!(parameters.text("flag"), Some(""));
    assert_eq!(parameters.text("missing"), None);
    assert_eq!(parameters.pairs().count(), 5);
}

#[test]
fn flags() {
    for (query, expected) in [
        ("", Some(false)),
        ("f=true", Some(true)),
        ("f=TRUE", Some(true)),
        ("f=false", Some(false)),
        ("f=1", Some(true)),
        ("f=true&f=maybe", Some(true)),
        ("f=maybe", None),
        ("f", None),
    ] {
        assert_eq!(Parameters::parse(query).flag("f").ok(), expected, "{query}");
    }
}

#[test]
fn integers_and_durations() {
    for (text, expected) in [("5", Some(5)), ("-1", Some(-1)), ("x", None), ("", None), ("1.5", None)] {
        assert_eq!(Parameters::parse(&format!("n={text}")).integer("n").ok().flatten(), expected, "{text}");
    }
    for (text, millis) in [
        ("5s", Some(5000)),
        ("500ms", Some(500)),
        ("1.5s", Some(1500)),
        ("2m", Some(120_000)),
        ("0", Some(0)),
        ("5", None),
        ("s", None),
        ("5h", None),
        ("-5s", None),
        ("9999999999999999999999s", None),
    ] {
        let duration = Parameters::parse(&format!("timeout={text}")).duration("timeout");
        assert_eq!(duration.ok().flatten(), millis.map(Duration::from_millis), "{text}");
    }
}
