//! Passive artifacts and bundles.

use serde_json::json;

use super::*;

#[track_caller]
fn round_trip(kind: ArtifactKind, text: &str, expected: Value) {
    let artifact = Artifact::read(kind, text).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0));
    assert_eq!(artifact.kind(), kind);
    let json = artifact.to_json();
    assert_eq!(json.to_string(), expected.to_string(), "{text}");
    assert_eq!(Artifact::from_json(kind, &json).unwrap(), artifact, "{text}");
    assert_eq!(Artifact::read(kind, &yaml::to_string(&json)).unwrap(), artifact, "{text}");
}

#[test]
fn shapes() {
    use ArtifactKind::{Conditions, Rewrites, Routes};
    round_trip(
        Conditions,
        "name: firefox\ncondition: User-Agent == Firefox",
        json!({"name": "firefox", "kind": "conditions", "metadata": {}, "condition": "User-Agent == Firefox"}),
    );
    round_trip(
        Conditions,
        "name: 1.0\nkind: condition\nmetadata: {a: NO}\ncondition: '< url_beg /2 >'",
        json!({"name": "1.0", "kind": "conditions", "metadata": {"a": "NO"}, "condition": "< url_beg /2 >"}),
    );
    round_trip(
        Rewrites,
        "name: v2\npath: /v2%[path] if path_beg /api",
        json!({"name": "v2", "kind": "rewrites", "metadata": {}, "path": "/v2%[path] if path_beg /api"}),
    );
    round_trip(
        Routes,
        "name: r\nkind: routes",
        json!({"name": "r", "kind": "routes", "metadata": {}, "lookup_name": lookup::stored_route("r"), "selector": null,
            "balance": "default", "condition": null, "rewrites": [], "targets": []}),
    );
    round_trip(
        Routes,
        "name: r\nweight: 7%\ncondition: {ref: c}\ncondition_strength: 5%\nbalance: uri\nrewrites: [w, {path: /x if path_beg /y}]\n\
         selector: label(a)(b)\nmetadata: {title: T}",
        json!({"name": "r", "kind": "routes", "metadata": {"title": "T"}, "lookup_name": lookup::stored_route("r"),
            "selector": "label(a)(b)", "weight": "7%", "balance": "uri", "condition": {"reference": "c"},
            "condition_strength": "5%", "rewrites": [{"reference": "w"}, {"path": "/x if path_beg /y"}], "targets": []}),
    );
    round_trip(
        Routes,
        "name: r\ncondition: host == x",
        json!({"name": "r", "kind": "routes", "metadata": {}, "lookup_name": lookup::stored_route("r"), "selector": null,
            "balance": "default", "condition": {"condition": "host == x"}, "rewrites": [], "targets": []}),
    );
}

#[test]
fn refused() {
    use ArtifactKind::{Conditions, Rewrites, Routes};
    for (kind, text, code, part) in [
        (Conditions, "[]", "not-a-map", "Unexpected type for path '/'"),
        (Conditions, "condition: host == x", "missing-value", "Can't find any value for path: /name"),
        (Conditions, "name: a", "missing-value", "Can't find any value for path: /condition"),
        (Conditions, "name: a\ncondition: ''", "missing-value", "Can't find any value for path: /condition"),
        (
            Conditions,
            "name: a\ncondition: {reference: b}",
            "wrong-type",
            "Unexpected type for path 'condition'",
        ),
        (Conditions, "name: a\ncondition: nonsense", "condition", "Invalid condition: 'nonsense'."),
        (Conditions, "name: a b\ncondition: host == x", "illegal-name", "Illegal name: 'a b'"),
        (Conditions, "name: a/b\ncondition: host == x", "illegal-name", "Illegal name: 'a/b'"),
        (Conditions, "name: ''\ncondition: host == x", "illegal-name", "Illegal name: ''"),
        (
            Conditions,
            "name: a\nkind: routes\ncondition: host == x",
            "inconsistent-kind",
            "given 'conditions' but found 'routes'",
        ),
        (
            Conditions,
            "name: a\ncondition: host == x\nfoo: 1",
            "unexpected-element",
            "Unexpected in DSL: {\"foo\":1}",
        ),
        (
            Conditions,
            "name: a\ncondition: host == x\nmetadata: 5",
            "unsupported-metadata",
            "Unsupported metadata",
        ),
        (Rewrites, "name: a", "missing-value", "Can't find any value for path: /path"),
        (Rewrites, "name: a\npath: x", "rewrite", "Unsupported path rewrite: 'x'."),
        (Routes, "weight: 1%", "missing-value", "Can't find any value for path: /name"),
        (Routes, "name: a\nweight: 1", "wrong-type", "Unexpected type for path 'weight'"),
        (Routes, "name: a\nweigth: 1%", "unexpected-element", "Unexpected in DSL"),
        (Routes, "name: a\nport: 80", "unexpected-element", "Unexpected in DSL"),
        (Routes, "name: a\nimport: x", "import", "Reference 'templates/x' cannot be resolved."),
    ] {
        let problems = Artifact::read(kind, text).expect_err(text);
        assert_eq!(problems.0.len(), 1, "{text}\n{:#?}", problems.0);
        assert_eq!(problems.0[0].code, code, "{text}");
        assert!(problems.message().contains(part), "{text}: {}", problems.message());
    }
}

#[test]
fn kinds() {
    for kind in ArtifactKind::ALL {
        assert_eq!(ArtifactKind::parse(kind.as_str()), Some(kind));
        assert_eq!(ArtifactKind::parse(kind.as_str().trim_end_matches('s')), Some(kind));
    }
    for word in ["", "s", "gateways", "Conditions", "conditionss", "breeds"] {
        assert_eq!(ArtifactKind::parse(word), None, "{word}");
    }
}

#[track_caller]
fn bundle(text: &str) -> Vec<String> {
    let documents = read_many(text).unwrap_or_else(|problems| panic!("{text}\n{:#?}", problems.0));
    documents.iter().map(|document| format!("{}/{}", document.kind(), document.name())).collect()
}

#[track_caller]
fn bundle_refused(text: &str, messages: &[&str]) {
    let problems = read_many(text).expect_err(text);
    let found: Vec<_> = problems.0.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(found.len(), messages.len(), "{text}\n{found:#?}");
    for (found, expected) in found.iter().zip(messages) {
        assert!(found.starts_with(expected), "{text}: {found}");
    }
}

#[test]
fn bundles() {
    let expected = ["conditions/c", "gateways/a/b"];
    for text in [
        "kind: condition\nname: c\ncondition: host == x\n---\nkind: gateway\nname: a/b\n",
        "---\nkind: conditions\nname: c\ncondition: host == x\n---\n---\nkind: gateways\nname: a/b\n---\n",
        "- {kind: condition, name: c, condition: host == x}\n- {kind: gateway, name: a/b}\n",
        "[{\"kind\":\"condition\",\"name\":\"c\",\"condition\":\"host == x\"},{\"kind\":\"gateway\",\"name\":\"a/b\"}]",
        "- - {kind: condition, name: c, condition: host == x}\n  - - {kind: gateway, name: a//b}\n",
        "- {kind: condition, name: c, condition: host == x}\n---\nkind: gateway\nname: a/b\n",
    ] {
        assert_eq!(bundle(text), expected, "{text}");
    }
    assert_eq!(bundle("kind: gateway\nname: g"), ["gateways/g"]);
    assert_eq!(
        bundle("kind: route\nname: r\n---\nkind: rewrite\nname: w\npath: /x if path_beg /y"),
        ["routes/r", "rewrites/w"]
    );
}

#[test]
fn refused_bundles() {
    for (text, messages) in [
        ("", &["Unexpected type for path '/'"][..]),
        ("[]", &["Unexpected type for path '/'"]),
        ("text", &["?/?: Unexpected type for path '/'"]),
        ("name: g", &["?/g: Can't find any value for path: /kind"]),
        ("kind: gateway", &["gateways/?: Can't find any value for path: /name"]),
        ("kind: nonsense\nname: x", &["nonsenses/x: Unexpected resource: 'nonsense'."]),
        ("kind: breed\nname: x", &["breeds/x: Kind 'breeds' is not supported yet"]),
        ("kind: deployments\nname: x", &["deployments/x: Kind 'deployments' is not supported yet"]),
        ("kind: [gateway]\nname: x", &["?/x: Unexpected type for path 'kind'"]),
        (
            "kind: gateway\nname: g\nport: abc\n---\nkind: condition\nname: c\ncondition: host == x\n---\nkind: gateways\nname: h\nx: 1",
            &["gateways/g: Invalid gateway port: 'abc'", "gateways/h: Unexpected in DSL: {\"x\":1}"],
        ),
        (
            "kind: gateway\nname: g\n---\nkind: gateways\nname: g\n",
            &["gateways/g: The same document is given twice"],
        ),
    ] {
        bundle_refused(text, messages);
    }
    let places = read_many("kind: gateway\nname: g\n---\nkind: gateway\nname: h\nport: x").unwrap_err();
    assert_eq!(places.0[0].position.map(|position| position.line), Some(6));
}

#[test]
fn items_of_an_endpoint() {
    let names = |text: &str| read_items(text, Some("gateways")).map(|items| items.len());
    assert_eq!(names("name: g"), Ok(1));
    assert_eq!(names("kind: gateway\nname: g\n---\nname: h"), Ok(2));
    let message = |text: &str, kind| read_items(text, Some(kind)).unwrap_err().message();
    assert_eq!(
        message("name: g\nkind: breeds", "gateways"),
        "Inconsistent kind: given 'gateways' but found 'breeds'."
    );
    assert_eq!(message("name: g\nx: 1", "gateways"), "Unexpected in DSL: {\"x\":1}");
    assert_eq!(
        message("name: g\n---\nname: h\nx: 1", "gateways"),
        "gateways/h: Unexpected in DSL: {\"x\":1}"
    );
    assert_eq!(message("name: c", "conditions"), "Can't find any value for path: /condition");
    let items = read_items("name: c\ncondition: host == x\nmetadata: {v: 0123}", Some("conditions")).unwrap();
    assert_eq!(items[0].source, json!({"name": "c", "condition": "host == x", "metadata": {"v": "0123"}}));
}

#[test]
fn identities() {
    let read = |text: &str| -> Vec<(&'static str, String)> {
        read_identities(text).unwrap().into_iter().map(|identity| (identity.kind, identity.name)).collect()
    };
    assert_eq!(
        read(
            "kind: gateway\nname: a//b\nnonsense: 1\n---\nkind: condition\nname: c\n---\nkind: routes\nname: r"
        ),
        [("gateways", "a/b".into()), ("conditions", "c".into()), ("routes", "r".into())]
    );
    for (text, message) in [
        ("", "Unexpected type for path '/'"),
        ("name: a", "?/a: Can't find any value for path: /kind"),
        ("kind: gateway", "gateways/?: Can't find any value for path: /name"),
        ("kind: gateway\nname: a b", "gateways/a b: Unsupported gateway name: 'a b'"),
        ("kind: breed\nname: a", "breeds/a: Kind 'breeds' is not supported yet"),
    ] {
        let found = read_identities(text).unwrap_err().message();
        assert!(found.starts_with(message), "{text}: {found}");
    }
}
