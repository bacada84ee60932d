//! What a rendering says fits together.

use std::collections::BTreeSet;

use super::*;

fn pods(objects: &[Object]) -> Vec<&Object> {
    objects.iter().filter(|object| matches!(object.kind(), "Deployment" | "DaemonSet")).collect()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn holds(labels: &Value, selector: &Value) -> bool {
    selector.as_object().is_some_and(|s| !s.is_empty() && s.iter().all(|(key, value)| labels[key] == *value))
}

fn namespace(object: &Object) -> &str {
    object.value["metadata"]["namespace"].as_str().unwrap_or("vamp-system")
}

/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>, row by row.
#[test]
fn pods_are_as_confined_as_restricted_asks_for() {
    for (shape, values) in shapes() {
        let objects = rendered(&values);
        assert!(!pods(&objects).is_empty(), "{shape}");
        for object in pods(&objects) {
            let spec = &object.value["spec"]["template"]["spec"];
            let place = format!("{shape}: {} {}", object.kind(), object.name());
            for key in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[key].is_null(), "{place}: {key}");
            }
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true, "{place}");
            assert!(spec["securityContext"]["runAsUser"].as_u64().unwrap() > 0, "{place}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{place}");
            for sysctl in list(spec, "/securityContext/sysctls") {
                assert_eq!(sysctl["name"], "net.ipv4.ip_unprivileged_port_start", "{place}");
            }
            let kinds = [
                "configMap",
                "csi",
                "downwardAPI",
                "emptyDir",
                "ephemeral",
                "persistentVolumeClaim",
                "projected",
                "secret",
            ];
            for volume in list(spec, "/volumes") {
                let kind = volume.as_object().unwrap().keys().find(|key| *key != "name").unwrap();
                assert!(kinds.contains(&kind.as_str()), "{place}: volume of kind {kind}");
            }
            for container in list(spec, "/containers") {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{place}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{place}");
                assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{place}");
                assert!(context["privileged"].is_null() && context["procMount"].is_null(), "{place}");
                assert!(list(container, "/ports").iter().all(|port| port["hostPort"].is_null()), "{place}");
                assert!(!container["resources"]["requests"].is_null(), "{place}: no requests");
                assert!(!container["resources"]["limits"]["memory"].is_null(), "{place}: no memory limit");
            }
        }
    }
}

#[test]
fn names_inside_a_rendering_lead_somewhere() {
    for (shape, values) in shapes() {
        let objects = rendered(&values);
        let mut seen = BTreeSet::new();
        for object in &objects {
            let place = format!("{shape}: {} {}/{}", object.kind(), namespace(object), object.name());
            assert!(seen.insert(place.clone()), "{place} twice");
            let labels = object.value["metadata"]["labels"].as_object().unwrap();
            assert!(labels.keys().any(|key| key.starts_with("app.kubernetes.io/")), "{place}: no label");
            let exists = |kind: &str, name: &str, space: &str| {
                objects.iter().any(|o| {
                    o.kind() == kind
                        && o.name() == name
                        && (kind.starts_with("Cluster") || namespace(o) == space)
                })
            };
            match object.kind() {
                "Deployment" | "DaemonSet" => workload(&place, object, &exists),
                "Service" => {
                    let selected: Vec<&Object> = pods(&objects)
                        .into_iter()
                        .filter(|pod| {
                            let mut labels = pod.value["spec"]["template"]["metadata"]["labels"].clone();
                            // What a controller sets itself when it leads.
                            labels["vamp.io/leader"] = "true".into();
                            namespace(pod) == namespace(object)
                                && holds(&labels, &object.value["spec"]["selector"])
                        })
                        .collect();
                    assert!(!selected.is_empty(), "{place} selects nothing");
                    for port in list(&object.value, "/spec/ports") {
                        let target = &port["targetPort"];
                        let known = selected.iter().any(|pod| {
                            list(&pod.value, "/spec/template/spec/containers").iter().any(|container| {
                                list(container, "/ports").iter().any(|p| p["name"] == *target)
                            })
                        });
                        // The Service of the metrics has a port for either kind of pod.
                        assert!(known || object.name() == "vamp-metrics", "{place}: port {target}");
                    }
                }
                "RoleBinding" | "ClusterRoleBinding" => {
                    let role = &object.value["roleRef"];
                    let name = role["name"].as_str().unwrap();
                    assert!(
                        name.starts_with("system:")
                            || name == "vamp-operator"
                            || exists(role["kind"].as_str().unwrap(), name, namespace(object)),
                        "{place}: no {name}"
                    );
                    for subject in list(&object.value, "/subjects") {
                        let space = subject["namespace"].as_str().unwrap_or(namespace(object));
                        assert!(
                            exists("ServiceAccount", subject["name"].as_str().unwrap(), space),
                            "{place}: {subject}"
                        );
                    }
                }
                _ => {}
            }
        }
    }
}

fn workload(place: &str, object: &Object, exists: &dyn Fn(&str, &str, &str) -> bool) {
    let template = &object.value["spec"]["template"];
    assert!(
        holds(&template["metadata"]["labels"], &object.value["spec"]["selector"]["matchLabels"]),
        "{place}"
    );
    let account = template["spec"]["serviceAccountName"].as_str().unwrap();
    assert!(exists("ServiceAccount", account, namespace(object)), "{place}: no account {account}");
    let volumes = list(template, "/spec/volumes");
    let container = &list(template, "/spec/containers")[0];
    let mounts = list(container, "/volumeMounts");
    assert_eq!(volumes.len(), mounts.len(), "{place}");
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{place}: {mount}");
    }
    let arguments: Vec<&str> = list(container, "/args").iter().filter_map(Value::as_str).collect();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let port = &container[probe]["httpGet"]["port"];
        assert!(list(container, "/ports").iter().any(|p| p["name"] == *port), "{place}: {probe}");
    }
    // Whoever is told to stop must be let finish.
    let grace = template["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    let seconds = |flag: &str| {
        let text = arguments.iter().find_map(|argument| argument.strip_prefix(flag));
        text.map_or(0, |text| text.trim_end_matches('s').parse::<u64>().unwrap())
    };
    let (delay, drain) = (seconds("--drain-delay="), seconds("--drain-timeout="));
    assert!(grace >= delay + drain + 10, "{place}: {grace} s to end, {delay} + {drain} s of them to drain");
    if object.kind() == "Deployment" {
        assert_eq!(object.value["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{place}");
    }
}

#[test]
fn an_installation_in_one_namespace_holds_nothing_cluster_wide() {
    // One for all installations.
    let people = ["vamp-viewer", "vamp-operator", "vamp-admin"];
    for (shape, values) in shapes() {
        let wide: Vec<String> = rendered(&values)
            .iter()
            .filter(|object| object.kind().starts_with("Cluster"))
            .map(|object| object.name().to_owned())
            .collect();
        let asked = matches!(shape, "clusterwide" | "everything");
        assert_eq!(!wide.is_empty(), asked, "{shape}: {wide:?}");
        assert!(
            wide.iter().all(|name| name.ends_with(":vamp-system") || people.contains(&name.as_str())),
            "two installations: {wide:?}"
        );
    }
}

/// A longer drain needs a longer grace.
/// Proxies read the Secrets and ConfigMaps that are listed, in their own namespace, and have a token only for that.
#[test]
fn proxies_read_the_certificates_that_are_listed() {
    for (shape, values) in shapes() {
        let objects = rendered(&values);
        let (secrets, config_maps) = (&values["certificates"], &values["authorities"]);
        let listed = !secrets.is_null() || !config_maps.is_null();
        let of_pod = |object: &Object| object.value["spec"]["template"]["spec"].clone();
        for agent in pods(&objects).into_iter().filter(|pod| pod.name() == "vamp-gateway-agent") {
            assert_eq!(of_pod(agent)["automountServiceAccountToken"], listed, "{shape}");
        }
        let roles: Vec<&Object> = objects
            .iter()
            .filter(|object| object.kind() == "Role" && object.name() == "vamp-certificates")
            .collect();
        let environments = values["environments"].as_array().map_or(1, Vec::len);
        assert_eq!(roles.len(), if listed { environments } else { 0 }, "{shape}");
        for role in roles {
            let rules: Vec<Value> = [("secrets", secrets), ("configmaps", config_maps)]
                .into_iter()
                .filter(|(_, names)| !names.is_null())
                .map(|(resource, names)| {
                    json!({"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": ["get", "watch"]})
                })
                .collect();
            assert_eq!(role.value["rules"], json!(rules), "{shape}");
        }
    }
}

/// With a certificate of its own, the API is asked by https wherever it is asked from another machine.
#[test]
fn the_api_speaks_tls_with_a_secret() {
    for (shape, values) in shapes() {
        let objects = rendered(&values);
        let encrypted = values["apiTlsSecret"].is_string();
        for controller in pods(&objects).into_iter().filter(|pod| pod.name() == "vamp-controller") {
            let pod = &controller.value["spec"]["template"]["spec"];
            let container = &pod["containers"][0];
            let args = container["args"].to_string();
            for flag in [
                "--api-tls-cert=/var/run/vamp/api-tls/tls.crt",
                "--api-tls-key=/var/run/vamp/api-tls/tls.key",
            ] {
                assert_eq!(args.contains(flag), encrypted, "{shape}");
            }
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let scheme = &container[probe]["httpGet"]["scheme"];
                assert_eq!(*scheme, if encrypted { json!("HTTPS") } else { Value::Null }, "{shape}: {probe}");
            }
            assert_eq!(pod["volumes"].to_string().contains("vamp-api-tls"), encrypted, "{shape}");
            assert_eq!(
                container["volumeMounts"].to_string().contains("/var/run/vamp/api-tls"),
                encrypted,
                "{shape}"
            );
        }
        for monitor in objects.iter().filter(|object| object.kind() == "ServiceMonitor") {
            let endpoints = monitor.value["spec"]["endpoints"].to_string();
            assert_eq!(endpoints.contains("https"), encrypted, "{shape}: {endpoints}");
        }
    }
}

#[test]
fn the_grace_grows_with_the_drain() {
    for small in [false, true] {
        for object in pods(&rendered(&json!({"small": small, "agent": {"drainSeconds": 300}}))) {
            workload("drain", object, &|_, _, _| true);
        }
    }
}

/// The schema knows every value, and no other: Helm refuses a misspelt one.
#[test]
fn the_schema_and_the_values_say_the_same() {
    let schema = text(&root().join("deploy/chart/vamp/values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    same("", &chart().values, &schema);
}

fn same(path: &str, values: &Value, schema: &Value) {
    if schema["additionalProperties"] != false {
        return;
    }
    let names = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .map(|map| map.keys().filter(|key| *key != "global").cloned().collect())
            .unwrap_or_default()
    };
    assert_eq!(names(values), names(&schema["properties"]), "below '{path}'");
    for (name, schema) in schema["properties"].as_object().unwrap() {
        same(&format!("{path}/{name}"), &values[name], schema);
    }
}
