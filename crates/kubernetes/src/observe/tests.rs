use serde_json::{Value, json};

use super::*;

fn read(value: Value) -> Instance {
    pod(serde_json::from_value(value).unwrap())
}

/// A ready pod, with `changes` merged into it.
fn pod_with(changes: Value) -> Instance {
    let mut pod = json!({
        "metadata": {
            "name": "shop-1", "namespace": "prod", "uid": "u", "resourceVersion": "7",
            "labels": {"app": "shop"}, "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {
            "initContainers": [{"name": "side-car", "restartPolicy": "Always", "ports": [{"containerPort": 1}]}],
            "ephemeralContainers": [{"name": "debug", "ports": [{"containerPort": 2}]}],
            "containers": [{"name": "main", "image": "shop:1", "ports": [
                {"containerPort": 8080, "name": "web"},
                {"containerPort": 53, "protocol": "UDP"},
                {"containerPort": 9090, "protocol": "TCP"},
            ]}],
        },
        "status": {
            "phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "10.1.0.7"}, {"ip": "fd00::7"}],
            "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}],
        },
    });
    merge(&mut pod, changes);
    read(pod)
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, value) in changes {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, changes) => *into = changes,
    }
}

#[test]
fn containers_labels_and_address() {
    let pod = pod_with(json!({}));
    assert_eq!((pod.namespace.as_str(), pod.name.as_str()), ("prod", "shop-1"));
    assert_eq!(pod.labels["app"], "shop");
    assert_eq!(pod.ip, Some("10.1.0.7".parse().unwrap()));
    assert_eq!(pod.containers.len(), 1, "neither side-cars nor ephemeral containers: {:?}", pod.containers);
    assert_eq!(pod.containers[0].image.as_deref(), Some("shop:1"));
    let ports: Vec<_> =
        pod.containers[0].ports.iter().map(|p| (p.number, p.name.as_deref(), p.tcp)).collect();
    assert_eq!(ports, [(8080, Some("web"), true), (53, None, false), (9090, None, true)]);
}

/// R41: pod changes -> (ready, exists, has an address).
#[test]
fn readiness_existence_and_address() {
    let rows = [
        ("as it is", json!({}), (true, true, true)),
        (
            "not ready",
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            (false, true, true),
        ),
        (
            "unknown",
            json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}),
            (false, true, true),
        ),
        ("no conditions yet", json!({"status": {"conditions": null}}), (false, true, true)),
        (
            "other condition",
            json!({"status": {"conditions": [{"type": "Other", "status": "True"}]}}),
            (false, true, true),
        ),
        (
            "being deleted",
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            (false, false, true),
        ),
        ("succeeded", json!({"status": {"phase": "Succeeded"}}), (false, false, true)),
        ("failed", json!({"status": {"phase": "Failed"}}), (false, false, true)),
        ("pending", json!({"status": {"phase": "Pending", "conditions": []}}), (false, true, true)),
        ("no address", json!({"status": {"podIP": null, "podIPs": null}}), (true, true, false)),
        ("only the list", json!({"status": {"podIP": null}}), (true, true, true)),
        ("not an address", json!({"status": {"podIP": "", "podIPs": []}}), (true, true, false)),
        (
            "no status",
            json!({"status": {"phase": null, "podIP": null, "podIPs": null, "conditions": null}}),
            (false, true, false),
        ),
    ];
    for (what, changes, expected) in rows {
        let pod = pod_with(changes);
        assert_eq!((pod.ready, pod.exists, pod.ip.is_some()), expected, "{what}");
    }
}

#[test]
fn almost_empty_pods_are_read() {
    let pod = read(
        json!({"metadata": {"name": "a", "namespace": "b", "labels": null}, "spec": {"containers": null}}),
    );
    assert!(pod.labels.is_empty() && pod.containers.is_empty() && pod.exists && !pod.ready);
    let pod = pod_with(
        json!({"spec": {"containers": [{"name": "x", "ports": null}, {"name": "y", "ports": [{"containerPort": 0}, {"containerPort": 70_000}]}]}}),
    );
    assert!(pod.containers.iter().all(|container| container.ports.is_empty()));
}

/// R18: which Services are candidates at all.
#[test]
fn services() {
    let read = |spec: Value, labels: Value| {
        let value = json!({"metadata": {"name": "s", "namespace": "n", "labels": labels}, "spec": spec});
        service(&serde_json::from_value(value).unwrap())
    };
    let ports =
        json!([{"port": 80, "targetPort": 8080, "appProtocol": "http"}, {"port": 53, "protocol": "UDP"}]);
    let plain = read(json!({"clusterIP": "10.96.0.1", "ports": ports}), json!({"a": "b"})).unwrap();
    assert_eq!((plain.kind, plain.ip), (InstanceKind::Service, Some("10.96.0.1".parse().unwrap())));
    let numbers: Vec<_> = plain.containers[0].ports.iter().map(|port| (port.number, port.tcp)).collect();
    assert_eq!(numbers, [(80, true), (53, false)], "the service port, not the target port");
    assert_eq!(plain.containers[0].ports[0].app_protocol.as_deref(), Some("http"));
    assert!(plain.ready && plain.exists);
    for (what, spec, labels) in [
        ("headless", json!({"clusterIP": "None"}), json!({})),
        ("external name", json!({"type": "ExternalName"}), json!({})),
        ("no address yet", json!({"clusterIP": ""}), json!({})),
        ("a gateway's own", json!({"clusterIP": "10.96.0.2"}), json!({"io.vamp": "gateway"})),
    ] {
        assert_eq!(read(spec, labels), None, "{what}");
    }
}
