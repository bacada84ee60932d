//! What an API server makes of gateways as custom resources: its verdicts, and that they agree with Vamp's own.
//!
//! Rules in CEL run in the API server, from 1.25 on. The verdicts in `verdicts.json` are those of its own code:
//! `VAMP_CRD_RULES=$(xtask/kube/kube-up.sh - rules) VAMP_UPDATE=1 cargo test -p kubernetes verdicts` writes them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::condition::Condition;
use model::gateway::{GatewayDocument, References, RouteDocument};
use model::rewrite::Rewrite;
use model::yaml::Node;
use serde_json::{Value, json};

use super::gateways;

struct Nothing;

impl References for Nothing {
    fn route(&self, _: &str) -> Option<RouteDocument> {
        None
    }
    fn condition(&self, _: &str) -> Option<Condition> {
        None
    }
    fn rewrite(&self, _: &str) -> Option<Rewrite> {
        None
    }
}

/// Names the program that judges, `xtask/kube/crd-rules.go`.
const JUDGE: &str = "VAMP_CRD_RULES";

/// What a document is about, its `spec`, and what `spec` was before where it is an update.
fn cases() -> Vec<(&'static str, Value, Option<Value>)> {
    let new = |what, spec| (what, spec, None);
    let long = "x".repeat(1_340);
    vec![
        new("nothing", json!({})),
        new("the three lines", json!({"port": 9070, "selector": "label(app)(shop) && label(version)((.*))"})),
        new("a name of one segment", json!({"name": "shop"})),
        new("a name of four segments", json!({"name": "a/b/c/d"})),
        new("a name with slashes around", json!({"name": "//shop//web/"})),
        new("a name of five segments", json!({"name": "a/b/c/d/e"})),
        new("an empty name", json!({"name": ""})),
        new("a name of slashes", json!({"name": "///"})),
        new("a name with a blank", json!({"name": "a b"})),
        new("a name with a tab", json!({"name": "a\tb"})),
        new("a name with a bracket", json!({"name": "a[b"})),
        new("a name with the other bracket", json!({"name": "a]b"})),
        new("a name in other letters", json!({"name": "Läden/東京"})),
        new("a name that is a number", json!({"name": 5})),
        new("a name that is too long", json!({"name": "n".repeat(257)})),
        new("kind: gateways", json!({"kind": "gateways"})),
        new("kind: gateway", json!({"kind": "gateway"})),
        new("kind: another", json!({"kind": "breeds"})),
        new("kind: nearly", json!({"kind": "gatewayz"})),
        new("kind: in capitals", json!({"kind": "Gateways"})),
        new("port: 0", json!({"port": 0})),
        new("port: empty", json!({"port": ""})),
        new("port: 0 as text", json!({"port": "0"})),
        new("port: with zeros", json!({"port": "00080/http"})),
        new("port: five digits too large", json!({"port": "99999"})),
        new("port: six digits", json!({"port": "009070"})),
        new("port: a sign", json!({"port": "+9070"})),
        new("port: blanks around the slash", json!({"port": " 9070 / http "})),
        new("port: a tab", json!({"port": "\t9070"})),
        new("port: the last", json!({"port": 65535})),
        new("port: negative", json!({"port": -1})),
        new("port: too large", json!({"port": 65536})),
        new("port: text", json!({"port": "9070"})),
        new("port: http", json!({"port": "9070/http"})),
        new("port: tcp in capitals", json!({"port": "9070/TCP"})),
        new("port: with blanks", json!({"port": " 9070 "})),
        new("port: no number", json!({"port": "abc"})),
        new("port: udp", json!({"port": "9070/udp"})),
        new("port: nothing after the slash", json!({"port": "9070/"})),
        new("port: nothing before the slash", json!({"port": "/http"})),
        new("port: two protocols", json!({"port": "9070/http/tcp"})),
        new("port: a blank inside", json!({"port": "90 70"})),
        new("port: hexadecimal", json!({"port": "0x50"})),
        new("port: a fraction", json!({"port": 9070.5})),
        new("port: a truth", json!({"port": true})),
        new("port: a list", json!({"port": [1]})),
        new("selector: true", json!({"selector": "true"})),
        new("selector: empty", json!({"selector": ""})),
        new("selector: blank", json!({"selector": "  "})),
        new("selector: a map", json!({"selector": {"a": "b"}})),
        new("sticky: route", json!({"sticky": "route"})),
        new("sticky: in capitals", json!({"sticky": "INSTANCE"})),
        new("sticky: none", json!({"sticky": "none"})),
        new("sticky: empty", json!({"sticky": ""})),
        new("sticky: with blanks", json!({"sticky": " route "})),
        new("sticky: null", json!({"sticky": null})),
        new("sticky: another", json!({"sticky": "maybe"})),
        new("sticky: plural", json!({"sticky": "routes"})),
        new("sticky on http", json!({"sticky": "route", "port": "9070/http"})),
        new("sticky on a number", json!({"sticky": "route", "port": 9070})),
        new("sticky on tcp", json!({"sticky": "route", "port": "9070/tcp"})),
        new("sticky on tcp, in capitals", json!({"sticky": "instance", "port": "9070/TCP"})),
        new("sticky: none on tcp", json!({"sticky": "none", "port": "9070/tcp"})),
        new("target protocol: http2", json!({"target_protocol": "http2"})),
        new("target protocol: in capitals", json!({"target_protocol": "HTTP1"})),
        new("target protocol: another", json!({"target_protocol": "spdy"})),
        new("hosts: one", json!({"virtual_hosts": "shop.example"})),
        new("hosts: a list", json!({"virtual_hosts": ["shop.example", "www.shop.example"]})),
        new("routes: a map", json!({"routes": {"(1.0)": {"weight": "100%"}, "(2.0)": {"weight": "0%"}}})),
        new("routes: a list", json!({"routes": [{"a": {"condition": "has header A"}}, "b"]})),
        new("routes: one path", json!({"routes": "[127.0.0.1:8080]"})),
        new("metadata", json!({"metadata": {"team": "one", "deep": {"er": [1, 2.5, null]}}})),
        new("tls from a Secret", json!({"tls": {"secret": "shop-tls", "redirect": true}})),
        new("tls to targets", json!({"target_tls": {}})),
        new("care: nothing", json!({"target_care": {}})),
        new(
            "care: all of it",
            json!({"target_care": {"eject_after": 3, "ejection_time": "10s", "most_ejected": "33.5%", "slow_start": "1m", "requests": 100, "pending": 20}}),
        ),
        new(
            "care: the least",
            json!({"target_care": {"eject_after": 0, "ejection_time": "1ms", "most_ejected": "0%", "slow_start": "0s"}}),
        ),
        new(
            "care: the most",
            json!({"target_care": {"eject_after": 1_000_000, "ejection_time": "86400000ms", "most_ejected": "100.00%", "slow_start": "24h", "requests": 1_000_000, "pending": 1_000_000}}),
        ),
        new("care: a negative number", json!({"target_care": {"requests": -1}})),
        new("care: a number too large", json!({"target_care": {"pending": 1_000_001}})),
        new("care: a fraction", json!({"target_care": {"eject_after": 1.5}})),
        new("care: a number as text", json!({"target_care": {"eject_after": "3"}})),
        new("care: no time at all", json!({"target_care": {"ejection_time": "0s"}})),
        new("care: a time without a unit", json!({"target_care": {"ejection_time": "30"}})),
        new("care: a time that is a number", json!({"target_care": {"ejection_time": 30}})),
        new("care: a bare 0 as text", json!({"target_care": {"slow_start": "0"}})),
        new("care: a bare 0", json!({"target_care": {"slow_start": 0}})),
        new("care: a time too long", json!({"target_care": {"slow_start": "1441m"}})),
        new("care: a time of days", json!({"target_care": {"ejection_time": "1d"}})),
        new("care: a time of a fraction", json!({"target_care": {"ejection_time": "1.5s"}})),
        new("care: a share with blanks", json!({"target_care": {"most_ejected": " 50 % "}})),
        new("care: a share too large", json!({"target_care": {"most_ejected": "100.01%"}})),
        new("care: a share with three decimals", json!({"target_care": {"most_ejected": "1.005%"}})),
        new("care: a share without the sign", json!({"target_care": {"most_ejected": "50"}})),
        new(
            "care: of a tcp port",
            json!({"port": "9070/tcp", "target_care": {"requests": 5, "pending": 0, "slow_start": "5s"}}),
        ),
        new("care: failures of a tcp port", json!({"port": "9070/TCP", "target_care": {"eject_after": 5}})),
        new(
            "care: shares of a tcp port",
            json!({"port": "9070/tcp", "target_care": {"most_ejected": "5%", "requests": 5}}),
        ),
        new("authorities: a file", json!({"target_tls": {"ca_file": "/etc/ca.crt"}})),
        new(
            "authorities: a Secret",
            json!({"target_tls": {"ca_secret": "shop-ca.v2", "server_name": "shop.internal"}}),
        ),
        new("authorities: a ConfigMap", json!({"target_tls": {"ca_config_map": "shop-ca"}})),
        new(
            "authorities: two places",
            json!({"target_tls": {"ca_config_map": "shop-ca", "ca_secret": "shop-ca"}}),
        ),
        new(
            "authorities: of no account",
            json!({"target_tls": {"ca_secret": "a", "insecure_skip_verification": true}}),
        ),
        new("authorities: no name of a Secret", json!({"target_tls": {"ca_secret": "Shop_CA"}})),
        new("authorities: no name of a ConfigMap", json!({"target_tls": {"ca_config_map": "-ca"}})),
        new("no authorities: every certificate", json!({"target_tls": {"insecure_skip_verification": true}})),
        new("an address given", json!({"service": {"host": "10.0.0.1", "port": 9070}})),
        new("what the API shows", json!({"lookup_name": "a1b2", "internal": false, "deployed": true})),
        new(
            "all that rules read, as long as it may be",
            json!({
                "name": format!("{}/b", "n".repeat(254)), "kind": "gateways", "port": "65535/http", "sticky": "instance",
                "target_protocol": "http2", "selector": format!("label({long})({long}) || label(a)({long})"),
            }),
        ),
        ("a name stays", json!({"name": "shop", "port": 1}), Some(json!({"name": "shop"}))),
        ("a name changes", json!({"name": "shop"}), Some(json!({"name": "web"}))),
        ("a name comes", json!({"name": "shop"}), Some(json!({}))),
        ("a name goes", json!({}), Some(json!({"name": "shop"}))),
        ("no name stays none", json!({"port": 9071}), Some(json!({"port": 9070}))),
    ]
}

fn object(spec: &Value) -> Value {
    json!({"apiVersion": "vamp.io/v1", "kind": "Gateway", "metadata": {"name": "shop"}, "spec": spec})
}

/// What verdicts depend on: all but descriptions.
fn essence(mut schema: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(map) => {
                if map.get("description").is_some_and(Value::is_string) {
                    map.remove("description");
                }
                map.values_mut().for_each(strip);
            }
            Value::Array(list) => list.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut schema);
    schema
}

fn schema() -> Value {
    essence(gateways()["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone())
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crd/verdicts.json")
}

/// Asks the judge.
fn judge(program: &str) -> Value {
    let cases: Vec<Value> = cases()
        .iter()
        .map(|(_, spec, old)| json!({"object": object(spec), "old": old.as_ref().map(object)}))
        .collect();
    let input = json!({"definition": gateways(), "cases": cases}).to_string();
    let mut child =
        Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the judge runs");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (verdict, (what, ..)) in said["cases"].as_array_mut().unwrap().iter_mut().zip(self::cases()) {
        verdict["case"] = what.into();
    }
    json!({"server": said["server"], "definition": said["definition"], "schema": schema(), "cases": said["cases"]})
}

fn verdicts() -> Value {
    if std::env::var_os("VAMP_UPDATE").is_some()
        && let Ok(program) = std::env::var(JUDGE)
    {
        let said = judge(&program);
        let mut text = String::from("{\n");
        text += &format!("\"server\": {},\n\"definition\": {},\n", said["server"], said["definition"]);
        text += &format!("\"schema\": {},\n\"cases\": [\n", said["schema"]);
        let lines: Vec<String> = said["cases"].as_array().unwrap().iter().map(Value::to_string).collect();
        text += &format!("{}\n]\n}}\n", lines.join(",\n"));
        std::fs::write(file(), text).unwrap();
    }
    let text = std::fs::read_to_string(file()).expect("verdicts.json");
    let found: Value = serde_json::from_str(&text).unwrap();
    let names = |found: &Value| -> Vec<Value> {
        found["cases"].as_array().unwrap().iter().map(|verdict| verdict["case"].clone()).collect()
    };
    let expected: Vec<Value> = cases().iter().map(|(what, ..)| json!(what)).collect();
    assert!(
        found["schema"] == schema() && names(&found) == expected,
        "verdicts.json is about other rules or cases: see the head of {}",
        file!()
    );
    found
}

/// An API server takes the definition, which includes that no rule may cost too much, whatever it is given.
#[test]
fn verdicts_on_the_definition() {
    let found = verdicts();
    assert_eq!(found["definition"], json!([]));
    for verdict in found["cases"].as_array().unwrap() {
        let cost = verdict["cost"].as_u64().unwrap();
        // Of ten million that all rules of an object may cost together.
        assert!(cost < 1_000_000, "{verdict}");
    }
}

/// What the API server refuses Vamp refuses too, with the same message where it is a rule's; and the cases are not all of one kind.
#[test]
fn verdicts_agree_with_the_api() {
    let (mut same, mut rules, mut wrong) = (0, 0, Vec::new());
    for ((what, spec, old), verdict) in cases().iter().zip(verdicts()["cases"].as_array().unwrap()) {
        let errors: Vec<&str> =
            verdict["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
        match (errors.is_empty(), ours(spec), old) {
            // What a document may not be changed to, it may be all the same.
            (false, Ok(()), Some(_)) => rules += 1,
            (true, Ok(()), _) => same += 1,
            (false, Err(message), _) => {
                same += 1;
                // "spec.port: Invalid value: \"abc\": MESSAGE"
                let said = |error: &&str| {
                    error
                        .splitn(4, ": ")
                        .last()
                        .is_some_and(|text| message.contains(text.trim_end_matches('.')))
                };
                rules += usize::from(errors.iter().any(said));
            }
            (true, Err(_), _) if ONLY_OURS.contains(what) => {}
            (false, Ok(()), None) if ONLY_THEIRS.contains(what) => {}
            (_, ours, _) => wrong.push(format!("{what}: the cluster says {errors:?}, the API {ours:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same > 60 && rules > 20, "{same} alike, {rules} refused by a rule");
}

/// Refused by Vamp's API for what a schema cannot say; the condition `Accepted` tells it.
const ONLY_OURS: &[&str] = &["port: five digits too large"];
/// Refused by the cluster only: types and sizes are stricter there.
const ONLY_THEIRS: &[&str] = &[
    "a name that is a number",
    "care: a number as text",
    "care: a bare 0",
    "a name that is too long",
    "sticky: null",
];

/// Vamp's own verdict.
fn ours(spec: &Value) -> Result<(), String> {
    let mut document = spec.as_object().unwrap().clone();
    document.entry("name").or_insert_with(|| "shop".into());
    let document = GatewayDocument::from_node(&Node::from_value(&Value::Object(document)));
    let resolved = document.and_then(|document| document.resolve(&Nothing));
    resolved.map(drop).map_err(|problems| problems.to_string())
}
