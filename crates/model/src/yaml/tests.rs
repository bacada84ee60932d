//! Tables for reading, writing, and hostile texts.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[track_caller]
fn reads(text: &str, expected: Value) {
    match read_one(text) {
        Ok(node) => assert_eq!(node.to_value(), expected, "{text}"),
        Err(problems) => panic!("{text}: {problems}"),
    }
}

#[track_caller]
fn refused(text: &str, part: &str) -> Problems {
    let problems = match read_all(text) {
        Ok(nodes) => panic!("{}: read as {nodes:?}", shorten(text)),
        Err(problems) => problems,
    };
    let message = problems.to_string();
    assert!(message.contains(part), "{}: {message}", shorten(text));
    problems
}

#[test]
fn untyped_scalars() {
    for (text, expected) in [
        ("null", Value::Null),
        ("~", Value::Null),
        ("", Value::Null),
        ("true", json!(true)),
        ("True", json!(true)),
        ("false", json!(false)),
        ("yes", json!("yes")),
        ("NO", json!("NO")),
        ("on", json!("on")),
        ("off", json!("off")),
        ("y", json!("y")),
        ("0", json!(0)),
        ("-0", json!(0)),
        ("12", json!(12)),
        ("+12", json!(12)),
        ("-12", json!(-12)),
        ("0123", json!("0123")),
        ("-012", json!("-012")),
        ("00", json!("00")),
        ("0x1F", json!("0x1F")),
        ("0o17", json!("0o17")),
        ("1_000", json!("1_000")),
        ("1:30", json!("1:30")),
        ("1.0", json!(1.0)),
        ("0.5", json!(0.5)),
        (".5", json!(0.5)),
        ("01.5", json!("01.5")),
        ("1.", json!("1.")),
        (".", json!(".")),
        ("1.0.3", json!("1.0.3")),
        ("1e3", json!("1e3")),
        ("1.0e3", json!(1000.0)),
        ("1.5e-3", json!(0.0015)),
        ("1.5e", json!("1.5e")),
        (".inf", json!(".inf")),
        (".nan", json!(".nan")),
        ("1.0e999", json!("1.0e999")),
        ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("2026-03-01", json!("2026-03-01")),
        ("2026-03-01T10:00:00Z", json!("2026-03-01T10:00:00Z")),
        ("50%", json!("50%")),
        ("'12'", json!("12")),
        ("\"true\"", json!("true")),
        ("!!str 12", json!("12")),
        ("! 12", json!("12")),
        ("!!int 12", json!(12)),
        ("!!bool true", json!(true)),
        ("!!null ~", Value::Null),
        ("a # comment", json!("a")),
        ("a#b", json!("a#b")),
    ] {
        reads(&format!("k: {text}"), json!({ "k": expected }));
    }
}

#[test]
fn texts_are_kept_as_written() {
    for text in ["1.0", "NO", "0123", "1e3", "true", "50", "1.10", "0x1F", "+5"] {
        let node = read_one(&format!("k: {text}")).unwrap();
        assert_eq!(node.map().unwrap()[0].value.text(), Some(text));
    }
    let node = read_one(r#"{"k": 1.10, "l": 1e5}"#).unwrap();
    assert_eq!(node.map().unwrap()[0].value.text(), Some("1.10"));
    assert_eq!(node.map().unwrap()[1].value.text(), Some("1e5"));
}

#[test]
fn keys_are_texts() {
    for (text, key) in [
        ("[localhost:5050]: {}", "[localhost:5050]"),
        ("[ localhost:5050 ]: {}", "[localhost:5050]"),
        ("[192.168.99.100:5050]: {weight: 50%}", "[192.168.99.100:5050]"),
        ("[a, b]: {}", "[a, b]"),
        ("[[::1]:8080]: {}", "[[::1]:8080]"),
        ("[http://a.example:80]: {}", "[http://a.example:80]"),
        ("? [localhost:5050]\n: {}", "[localhost:5050]"),
        ("9050: {}", "9050"),
        ("1.0: {}", "1.0"),
        ("0123: {}", "0123"),
        ("true: {}", "true"),
        ("NO: {}", "NO"),
        ("null: {}", "null"),
        ("~: {}", "~"),
        ("\"(1.0.3)\": {}", "(1.0.3)"),
        ("(1.0.3): {}", "(1.0.3)"),
        ("sava:1.0/9050: {}", "sava:1.0/9050"),
        ("'': {}", ""),
    ] {
        let node = read_one(text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let keys: Vec<_> = node.map().unwrap().iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, [key], "{text}");
    }
    reads(
        "routes:\n  [localhost:5050]: {weight: 50%}\n  [10.0.0.1:80]:\n    weight: 50%\n",
        json!({
            "routes": {"[localhost:5050]": {"weight": "50%"}, "[10.0.0.1:80]": {"weight": "50%"}}
        }),
    );
    reads(
        "routes: {[localhost:5050]: {weight: 50%}}",
        json!({"routes": {"[localhost:5050]": {"weight": "50%"}}}),
    );
}

#[test]
fn json_texts() {
    reads("{\"a\":1}", json!({"a": 1}));
    reads("\t{\t\"a\"\t:\t[1,\t2]\t}\r\n", json!({"a": [1, 2]}));
    reads(r#"{"a":"\u00e9\ud83d\ude00\/\n\t\"\\\b\f\r"}"#, json!({"a": "é😀/\n\t\"\\\u{8}\u{c}\r"}));
    reads(r#"{"a":1e3,"b":1E+2,"c":-0.5,"d":0}"#, json!({"a": 1000.0, "b": 100.0, "c": -0.5, "d": 0}));
    reads(r#"{"a":null,"b":true,"c":false}"#, json!({"a": null, "b": true, "c": false}));
    reads("[]", json!([]));
    reads("{}", json!({}));
    reads("\u{feff}{\"a\": 1}", json!({"a": 1}));
    reads("{\"a\":\"NO\",\"b\":\"0123\"}", json!({"a": "NO", "b": "0123"}));
    // Line ends and tabs of other systems.
    reads("a: 1\r\nb:\r\n  - x\r\n  - |\r\n    y\r\n    z\r\n", json!({"a": 1, "b": ["x", "y\nz\n"]}));
    reads("b: x\t# comment\n", json!({"b": "x"}));
    reads("%YAML 1.1\n---\na: 1\n", json!({"a": 1}));
    // Not quite JSON, but YAML.
    reads("{a: 1, b: [x, y],}", json!({"a": 1, "b": ["x", "y"]}));
    reads("{\"a\": 012}", json!({"a": "012"}));
    reads("{'a': 'b'}", json!({"a": "b"}));
    // Slashes, colons and braces inside texts.
    reads(r#"{"a":"b: {c}, d"}"#, json!({"a": "b: {c}, d"}));
}

#[test]
fn several_documents() {
    for (text, count) in [
        ("", 0),
        ("\n\n", 0),
        ("# only a comment\n", 0),
        ("---\n", 0),
        ("---\n---\n", 0),
        ("a: 1", 1),
        ("---\na: 1\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("---\na: 1\n---\n---\nb: 2\n---\n", 2),
        ("a: 1\n...\n---\nb: 2\n", 2),
        ("{\"a\": 1}\n---\n{\"b\": 2}\n", 2),
    ] {
        assert_eq!(read_all(text).unwrap().len(), count, "{text:?}");
    }
    assert!(read_one("").unwrap_err().to_string().contains("Unexpected type for path '/'"));
    assert!(
        read_one("a: 1\n---\nb: 2").unwrap_err().to_string().contains("exactly one document but found 2")
    );
}

#[test]
fn order_is_kept() {
    let text = "z: 1\na: 2\nm: 3\nb: 4\ny: 5\nc: 6\n";
    let node = read_one(text).unwrap();
    let keys: Vec<_> = node.map().unwrap().iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["z", "a", "m", "b", "y", "c"]);
    assert_eq!(node.to_value().to_string(), r#"{"z":1,"a":2,"m":3,"b":4,"y":5,"c":6}"#);
}

#[test]
fn positions_count_from_one_in_characters() {
    for text in ["a: 1\nbé:\n  c: x\n", "{\"a\": 1,\n\"bé\":\n {\"c\": \"x\"}}"] {
        let node = read_one(text).unwrap();
        let b = &node.map().unwrap()[1];
        assert_eq!((b.position.line, b.position.column), (2, 1), "{text}");
        let c = &b.value.map().unwrap()[0];
        assert_eq!(c.position.line, 3, "{text}");
        assert_eq!(c.position.column, 3, "{text}");
    }
    let column =
        |text: &str, offset| read_one(text).unwrap().map().unwrap()[0].value.position_in_text(offset).column;
    assert_eq!(column("k: abc", 2), 6);
    assert_eq!(column("k: 'abc'", 2), 7);
    assert_eq!(column("{\"k\": \"abc\"}", 2), 10);
    assert_eq!(column("k: \"a\\tbc\"", 2), 4);
}

#[test]
fn duplicate_keys_name_both_places() {
    let problems = refused(
        "a: 1\nb: 2\na: 3\n",
        "Duplicate key 'a' at line 3, column 1, already given at line 1, column 1",
    );
    assert_eq!(problems.0[0].code, "duplicate-key");
    refused("{\"a\": 1, \"a\": 2}", "Duplicate key 'a' at line 1, column 10");
    refused("x:\n  b: {a: 1, a: 1}\n", "Duplicate key 'a'");
    refused("1: x\n'1': y\n", "Duplicate key '1'");
    refused("[a:1]: x\n'[a:1]': y\n", "Duplicate key '[a:1]'");
    let two = refused("a: 1\na: 2\nb: 1\nb: 2\n", "Duplicate key 'b'");
    assert_eq!(two.0.len(), 2);
}

#[test]
fn refused_texts() {
    for (text, part) in [
        ("a: !Foo b", "tag '!Foo' is not allowed"),
        ("a: !!python/object:x b", "is not allowed"),
        ("a: !!binary aGk=", "tag '!!binary' is not allowed"),
        ("a: !!timestamp 2026-03-01", "is not allowed"),
        ("a: !!set {x}", "is not allowed"),
        ("a: !Foo {x: y}", "is not allowed"),
        ("a: !Foo [x]", "is not allowed"),
        ("a: !!int x", "not what its tag"),
        ("a: b: c", "Error: "),
        ("a: [1, 2", "Error: "),
        ("a: {b: 1", "Error: "),
        ("{\"a\": }}", "Error: "),
        ("a: *nobody", "Error: "),
        ("a: &x [*x]", "inside the value that it stands for"),
        ("a: \"b", "Error: "),
        ("\tx: 1\n\ty: 2", "Error: "),
        ("a: b\0c", "control character U+0000 is not allowed at line 1, column 5"),
        ("a: 1\nb: \u{7}", "control character U+0007 is not allowed at line 2, column 4"),
        ("{\"a\": \"\\ud83d\"}", "Error: "),
        ("a: 1\n b: 2", "Error: "),
        ("@a: 1", "Error: "),
    ] {
        let problems = refused(text, part);
        assert_eq!(problems.0[0].code, "invalid-yaml", "{text}");
        assert!(problems.0[0].position.is_some(), "{text}");
    }
}

#[test]
fn aliases_are_copies() {
    reads(
        "a: &x {w: 50%}\nb: *x\nc: [*x, *x]\n",
        json!({
            "a": {"w": "50%"}, "b": {"w": "50%"}, "c": [{"w": "50%"}, {"w": "50%"}]
        }),
    );
    reads("a: &x 1\nb: *x\n", json!({"a": 1, "b": 1}));
}

#[test]
fn hostile_texts_fail_fast() {
    let bomb = {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..40 {
            let alias = format!("*a{}", i - 1);
            text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![alias; 10].join(",")));
        }
        text
    };
    let texts = {
        let long = "x".repeat(500_000);
        format!("a: &a {long}\nb: [{}]", vec!["*a"; 50_000].join(","))
    };
    let nested_anchors = {
        let mut text = String::new();
        for i in 0..60 {
            text.push_str(&format!("&n{i} ["));
        }
        text.push_str(&vec!["x"; 90_000].join(","));
        text.push_str(&"]".repeat(60));
        text
    };
    let deep_alias = {
        let mut text = String::from("a0: &a0 [x]\n");
        for i in 1..100 {
            text.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        text
    };
    let cases: Vec<(String, &str)> = vec![
        (bomb, "more than 100000 values"),
        (texts, "bytes of text"),
        (nested_anchors, "more than 100000 values"),
        (deep_alias, "nested deeper than 64"),
        ("[".repeat(1_000_000), "Error: "),
        ("{\"a\":".repeat(200_000), "Error: "),
        (format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), "nested deeper than 64"),
        ("{".repeat(1_000_000), "Error: "),
        ("- ".repeat(500_000), "nested deeper than 64"),
        ("? ".repeat(500_000), "Error: "),
        (format!("[{}1]", "1,".repeat(400_000)), "more than 100000 values"),
        ("x".repeat(MAX_BYTES + 1), "more than the 1048576 that are read"),
        ("- a\n".repeat(200_000), "more than 100000 values"),
        ((0..100_000).map(|i| format!("k{i}: 1\n")).collect(), "more than 100000 values"),
        ("a: 1\n".repeat(200_000), ""),
        ("\"".repeat(1_000_000), "Error: "),
        ("&a ".repeat(300_000), "Error: "),
        ("!".repeat(1_000_000), "Error: "),
        ("*a: ".repeat(200_000), "Error: "),
        (":".repeat(1_000_000), ""),
        ("a: ".repeat(300_000), "Error: "),
        ("%".repeat(1_000_000), "Error: "),
        ("[a, ".repeat(250_000), "Error: "),
        ("{a: ".repeat(250_000), "Error: "),
        ("---\n".repeat(250_000), ""),
        ("--- a\n".repeat(170_000), "more than 100000 values"),
        ("|\n".repeat(500_000), ""),
        ("'a':".repeat(250_000), "Error: "),
        ("- - a\n  - b\n".repeat(80_000), "more than 100000 values"),
        ("\u{feff}".repeat(300_000), ""),
        ("a:\n".repeat(300_000), ""),
    ];
    for (text, part) in cases {
        let started = Instant::now();
        let outcome = read_all(&text);
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "{}: {took:?}", &shorten(&text)[..10.min(text.len())]);
        if !part.is_empty() {
            let message = outcome.expect_err(&text[..text.len().min(20)]).to_string();
            assert!(message.contains(part), "{}: {message}", shorten(&text));
            assert!(message.len() < 5_000);
        }
    }
}

#[test]
fn written_form() {
    let value = json!({
        "name": "sava-product", "sticky": null, "port": "9070", "service": {"host": "10.0.0.1", "port": "9070/http"},
        "selector": "label(app)(x) && label(version)((.*))", "deployed": true, "ratio": 1.5, "big": 1e20,
        "routes": {"(1.0.3)": {"weight": "50%", "rewrites": [], "metadata": {}}, "[10.1.0.7:8080]": {"no": "NO"}},
        "list": ["a", {"b": 1, "c": ["d"]}, ["e", "f"], []], "text": "one\ntwo\n", "odd": "a: b", "empty": ""
    });
    let expected = "\
name: sava-product
sticky: null
port: \"9070\"
service:
  host: \"10.0.0.1\"
  port: 9070/http
selector: label(app)(x) && label(version)((.*))
deployed: true
ratio: 1.5
big: 1.0e+20
routes:
  (1.0.3):
    weight: 50%
    rewrites: []
    metadata: {}
  \"[10.1.0.7:8080]\":
    \"no\": \"NO\"
list:
  - a
  - b: 1
    c:
      - d
  - - e
    - f
  - []
text: |
  one
  two
odd: \"a: b\"
empty: \"\"
";
    assert_eq!(to_string(&value), expected);
    assert_eq!(read_one(expected).unwrap().to_value(), value);
    assert_eq!(to_string(&json!([])), "[]\n");
    assert_eq!(to_string(&json!({})), "{}\n");
    assert_eq!(to_string(&json!("x")), "x\n");
    assert_eq!(to_string(&json!([1, 2])), "- 1\n- 2\n");
}

fn value_strategy() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "",
        " ",
        "a",
        "yes",
        "NO",
        "~",
        "null",
        "0123",
        "1e3",
        "1.0",
        "-",
        "- a",
        "a: b",
        "#x",
        "a #b",
        "|",
        ">",
        "&a",
        "*a",
        "!x",
        "%x",
        "@x",
        "`x",
        "{",
        "}",
        "[x]",
        "(x)",
        "'",
        "\"",
        "\\",
        "a\nb",
        "a\n",
        "\n",
        "a\n\nb\n",
        " a\nb",
        "a\n b",
        "\ta",
        "a\t\nb",
        "é",
        "😀",
        "\u{85}",
        "\u{2028}",
        "\u{feff}x",
        "---",
        "...",
        "--- a",
        "? a",
        "key:",
        "2026-03-01",
        "1:30",
        ".inf",
        "0x1F",
        "50%",
        "9/8",
        "=",
        "<<",
        "a\r\nb",
        "a\rb",
        "\u{7f}",
        "\u{1}",
        "a\n---\nb",
        "a\n...\nb\n",
        "x \n y",
        "a:\n  b",
    ]);
    let text = prop_oneof![words.prop_map(str::to_owned), ".{0,12}", "[ -~\n\t]{0,20}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e30..1e30_f64).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is written reads back as the same value, as YAML and as JSON.
    #[test]
    fn read_undoes_write(value in value_strategy()) {
        let text = to_string(&value);
        let back: Vec<Value> = read_all(&text).map_err(|p| TestCaseError::fail(format!("{text}\n{p}")))?
            .iter().map(Node::to_value).collect();
        prop_assert_eq!(&back, &vec![value.clone()], "{}", text);
        if value.is_object() || value.is_array() {
            let json = value.to_string();
            prop_assert_eq!(&read_one(&json).unwrap().to_value(), &value);
        }
    }

    /// No text makes the reader panic.
    #[test]
    fn any_text_is_read_or_refused(text in "[ \\-\\[\\]{}:,#&*!|>'\"%@`?a-c0-2\\\\\n\tu~.é]{0,60}") {
        let _ = read_all(&text);
    }
}
