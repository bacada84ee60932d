//! The chart in all its shapes: what it says fits together, is as confined as Pod Security's `restricted` asks for, and is taken by a real
//! API server.

mod cluster;
mod examples;
mod helm;
mod language;
mod monitoring;
mod objects;

use std::path::Path;

use serde_json::{Value, json};

use super::*;

fn root() -> &'static Path {
    super::super::root()
}

fn chart() -> Chart {
    Chart::read(&root().join("deploy/chart/vamp")).unwrap()
}

/// The shapes of an installation that the tests look at, and what they are called.
fn shapes() -> Vec<(&'static str, Value)> {
    let pod = json!({
        "args": ["--log=debug"],
        "env": [{"name": "RUST_BACKTRACE", "value": "1"}],
        "podAnnotations": {"team": "shop"}, "podLabels": {"team": "shop"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 1,
            "podAffinityTerm": {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "vamp"}},
            },
        }]}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "vamp"}},
        }],
        "podDisruptionBudget": {"enabled": true},
    });
    let mut agent = pod.clone();
    merge(
        &mut agent,
        &json!({
            "kind": "DaemonSet",
            "service": {
                "type": "NodePort", "nodePort": 30080, "tlsNodePort": 30443, "annotations": {"a": "b"},
                "spec": {"externalTrafficPolicy": "Local"},
            },
        }),
    );
    vec![
        ("default", json!({})),
        ("daemonset", json!({"agent": {"kind": "DaemonSet"}})),
        ("small", json!({"small": true, "controller": {"replicas": 1}})),
        ("tokens", json!({"tokenSecret": "vamp-tokens"})),
        ("small-tokens", json!({"small": true, "tokenSecret": "vamp-tokens"})),
        ("small-certificates", json!({"small": true, "certificates": ["shop-tls"]})),
        ("authorities", json!({"authorities": ["shop-ca"]})),
        ("api-tls", json!({"apiTlsSecret": "vamp-api-tls"})),
        ("environments", json!({"environments": ["vampio-shop-test", "vampio-shop-live"]})),
        ("clusterwide", json!({"clusterwide": true, "tokenReview": true})),
        (
            "agents-only",
            json!({"controller": {"enabled": false}, "agent": {"controller": "vamp-controller.vamp.svc:8092"}}),
        ),
        (
            "everything",
            json!({
                "image": {"digest": format!("sha256:{}", "0".repeat(64))},
                "imagePullSecrets": [{"name": "registry"}],
                "environments": ["vampio-shop-test", "vampio-shop-live"],
                "certificates": ["shop-tls", "core.tls"],
                "authorities": ["shop-ca"],
                "apiTlsSecret": "vamp-api-tls",
                "clusterwide": true, "elsewhere": true, "userRoles": true, "tokenReview": true,
                "controller": pod, "agent": agent,
                "networkPolicy": {"enabled": true, "apiFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
                "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "token": {"name": "t", "key": "token"}},
                "grafanaDashboard": {"enabled": true},
            }),
        ),
    ]
}

fn rendered(values: &Value) -> Vec<Object> {
    chart().render(&Release { namespace: "vamp-system", values: values.clone() }).unwrap()
}

/// Set `VAMP_UPDATE=1`, or run `cargo xtask manifests`, to write it.
#[test]
fn the_plain_manifests_are_fresh() {
    let fresh = install(root()).unwrap();
    let path = root().join("deploy/install.yaml");
    if std::env::var_os("VAMP_UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == fresh, "deploy/install.yaml is stale: run cargo xtask manifests");
    // A comment or a blank line does no harm, but this one is read by people.
    for (number, line) in fresh.lines().enumerate() {
        assert!(line.trim_end() == line, "deploy/install.yaml:{}: blanks at the end", number + 1);
    }
    assert!(!fresh.contains("namespace:"), "deploy/install.yaml goes where `kubectl -n` says");
}

#[test]
fn the_chart_has_the_version_of_the_program() {
    let chart = chart();
    for key in ["version", "appVersion"] {
        assert_eq!(chart.chart[key], env!("CARGO_PKG_VERSION"), "{key} in Chart.yaml");
    }
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let message =
        |values: Value| format!("{:#}", chart().render(&Release { namespace: "a", values }).unwrap_err());
    assert!(message(json!({"small": true, "environments": ["b"]})).contains("small serves one environment"));
    assert!(message(json!({"agent": {"kind": "StatefulSet"}})).contains("Deployment or DaemonSet"));
    assert!(message(json!({"controller": {"enabled": false}})).contains("agent.controller says where"));
}

#[test]
fn the_notes_say_what_to_do_next() {
    let notes = |values: Value| chart().notes(&Release { namespace: "vamp-system", values }).unwrap();
    assert!(notes(json!({})).starts_with("Vamp 0.1.0 releases in the namespace vamp-system."));
    assert!(notes(json!({"environments": ["a", "b"]})).contains("releases in a, b."));
    assert!(notes(json!({"clusterwide": true})).contains("vamp.io/environment"));
    let binding = "create clusterrolebinding vamp-delegation:vamp-system";
    assert!(notes(json!({})).contains(binding));
    assert!(!notes(json!({"tokenReview": true})).contains(binding));
}
