use std::fmt::Write as _;
use std::time::{Duration, Instant};

use model::instance::InstanceKind;

use super::*;

fn yaml(text: &str) -> Vec<Object> {
    objects(text, Format::Yaml, "default").unwrap()
}

fn pod(text: &str) -> model::instance::Instance {
    match yaml(text).remove(0) {
        Object::Pod(pod) => (*pod).clone(),
        other => panic!("no pod: {other:?}"),
    }
}

fn deployment(text: &str) -> Deployment {
    match yaml(text).remove(0) {
        Object::Deployment(deployment) => (*deployment).clone(),
        other => panic!("no deployment: {other:?}"),
    }
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: one
  labels: {app: shop, version: 1.10, country: NO}
  annotations: {big: [1, 2]}
spec:
  initContainers:
  - {name: side-car, restartPolicy: Always, ports: [{containerPort: 15001}]}
  containers:
  - name: web
    image: shop:1
    ports:
    - {containerPort: 8080, name: http, appProtocol: kubernetes.io/h2c}
    - {containerPort: 53, protocol: UDP}
status:
  phase: Running
  podIP: 10.0.0.7
  conditions:
  - {type: Initialized, status: 'True'}
  - {type: Ready, status: 'True'}
";

#[test]
fn a_pod_is_read_as_it_stands() {
    let pod = pod(POD);
    assert_eq!((pod.kind, pod.namespace.as_str(), pod.name.as_str()), (InstanceKind::Pod, "default", "one"));
    assert_eq!(pod.ip, Some("10.0.0.7".parse().unwrap()));
    assert!(pod.ready && pod.exists);
    assert_eq!(pod.labels["version"], "1.10", "labels keep their digits");
    assert_eq!(pod.labels["country"], "NO", "and their words");
    assert_eq!(pod.containers.len(), 1, "side-cars are no candidates");
    let ports = &pod.containers[0].ports;
    assert_eq!((ports[0].number, ports[0].name.as_deref(), ports[0].tcp), (8080, Some("http"), true));
    assert_eq!(ports[0].app_protocol.as_deref(), Some("kubernetes.io/h2c"));
    assert_eq!((ports[1].number, ports[1].tcp), (53, false));
}

/// R41 and R22: what makes a pod ready and what makes it count.
#[test]
fn readiness_and_existence() {
    let check = |from: &str, to: &str, ready: bool, exists: bool| {
        let text = POD.replace(from, to);
        assert_ne!(text, POD);
        let pod = pod(&text);
        assert_eq!((pod.ready, pod.exists), (ready, exists), "{to}");
    };
    check("Ready, status: 'True'", "Ready, status: 'False'", false, true);
    check("Ready, status: 'True'", "Ready, status: Unknown", false, true);
    check("  - {type: Ready, status: 'True'}\n", "", true, true);
    check("phase: Running", "phase: Succeeded", false, false);
    check("phase: Running", "phase: Failed", false, false);
    check("  name: one", "  name: one\n  deletionTimestamp: 2026-01-01T00:00:00Z", false, false);
    check("  name: one", "  name: one\n  deletionTimestamp: null", true, true);
}

#[test]
fn services_with_a_cluster_ip_are_instances() {
    let service = |ip: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s, namespace: n}}\nspec:\n  clusterIP: {ip}\n  ports: [{{port: 80, targetPort: http, name: web}}]\n"
        )
    };
    let found = yaml(&service("10.96.0.1"));
    let [Object::Service(instance)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(instance.kind, InstanceKind::Service);
    assert_eq!((instance.containers[0].name.as_str(), instance.containers[0].ports[0].number), ("s", 80));
    assert_eq!(instance.containers[0].image, None);
    assert!(yaml(&service("None")).is_empty());
    assert!(yaml(&service("''")).is_empty());
}

#[test]
fn lists_documents_and_foreign_kinds() {
    let text = "\
---
# nothing
---
apiVersion: example.com/v1
kind: Deployment
metadata: {name: foreign}
spec: {replicas: {much: 1}}
---
apiVersion: v1
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
- apiVersion: v1
  kind: Pod
  metadata: {name: a}
- apiVersion: v1
  kind: Pod
  metadata: {name: b}
kind: List
---
{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [{\"metadata\": {\"name\": \"c\"}}]}
";
    let found = yaml(text);
    let names: Vec<_> = found.iter().map(|object| object.identity().2).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[test]
fn json_and_yaml_mean_the_same() {
    let from_yaml = yaml(POD);
    let node = parse(POD, Format::Yaml).unwrap().remove(0);
    let json = node.to_json().to_string();
    assert_eq!(objects(&json, Format::Json, "default").unwrap(), from_yaml);
    assert_eq!(objects(&json, Format::Yaml, "default").unwrap(), from_yaml);
}

#[test]
fn anchors_and_merge_keys() {
    let text = "\
kind: Pod
apiVersion: v1
metadata:
  name: m
  labels: &base {app: shop, version: '1'}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: d, labels: &l {app: shop, version: '1'}}
spec:
  template:
    metadata: {labels: {<<: *l, version: '2'}}
    spec: {containers: [{name: c, image: i}]}
";
    let found = yaml(text);
    let Object::Deployment(deployment) = &found[1] else { panic!() };
    assert_eq!(deployment.template.labels["app"], "shop");
    assert_eq!(deployment.template.labels["version"], "2");
}

#[test]
fn a_deployment_with_everything() {
    let deployment = deployment(
        "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: prod}
spec:
  replicas: 3
  strategy: {type: Recreate}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 7
      containers:
      - name: c
        image: shop:1
        command: [serve]
        args: ['--port', 80]
        env:
        - {name: A, value: 5}
        - {name: B}
        - {name: C, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: D, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}
        - {name: E, valueFrom: {configMapKeyRef: {name: s, key: k}}}
        ports: [{containerPort: 8080, name: web}]
        readinessProbe:
          httpGet: {path: health, port: web, httpHeaders: [{name: X, value: y}]}
          initialDelaySeconds: 2
          periodSeconds: 3
          timeoutSeconds: 4
          successThreshold: 5
          failureThreshold: 6
",
    );
    assert_eq!((deployment.namespace.as_str(), deployment.replicas, deployment.recreate), ("prod", 3, true));
    assert_eq!(deployment.template.grace, Duration::from_secs(7));
    let container = &deployment.template.containers[0];
    assert_eq!(container.args, ["--port", "80"]);
    let names: Vec<_> = container.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["A", "B", "C", "E"], "an optional secret is left out");
    assert_eq!(container.environment[0].1, EnvSource::Text("5".into()));
    assert_eq!(container.environment[3].1, EnvSource::Unavailable("configMapKeyRef".into()));
    let probe = container.readiness.as_ref().unwrap();
    assert_eq!(
        probe.action,
        ProbeAction::Http {
            port: 8080,
            host: None,
            path: "/health".into(),
            headers: vec![("X".into(), "y".into())]
        }
    );
    assert_eq!(
        (
            probe.initial_delay.as_secs(),
            probe.period.as_secs(),
            probe.timeout.as_secs(),
            probe.successes,
            probe.failures
        ),
        (2, 3, 4, 5, 6)
    );
}

#[test]
fn errors_say_where_and_what() {
    let check = |text: &str, line: usize, part: &str| {
        let error = objects(text, Format::Yaml, "default").unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
    };
    check("just text", 1, "expected a Kubernetes object");
    check("metadata: {name: a}", 1, "'kind' is missing");
    check("kind: Pod\napiVersion: v1\nmetadata:\n  labels: {a: b}\n", 1, "a Pod needs 'metadata.name'");
    check("kind: Pod\nmetadata: {name: ../../etc}", 2, "no valid name");
    check(
        "kind: Pod\nmetadata:\n  name: a\nstatus:\n  podIP: not.an.ip\n",
        5,
        "status.podIP: 'not.an.ip' is no IP",
    );
    check(
        "kind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: c\n    ports:\n    - containerPort: 70000\n",
        7,
        "spec.containers[0].ports[0].containerPort: '70000'",
    );
    check("kind: Pod\nmetadata: {name: a}\nspec:\n  containers: {}\n", 4, "spec.containers: expected a list");
    check("kind: Pod\nkind: Pod\n", 2, "'kind' is given twice");
    check("kind: Pod\nmetadata: {name: a\n", 2, "not valid YAML");
    check(
        "kind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {}}}\n",
        3,
        "at least one container",
    );
    check(&format!("a: {}1{}", "[".repeat(100), "]".repeat(100)), 1, "nested deeper");
    let error = objects("{\n\"kind\": }", Format::Json, "default").unwrap_err();
    assert_eq!(error.line, 2);
}

#[test]
fn billion_laughs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let _ = writeln!(text, "a{i}: &a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(", "));
    }
    assert!(objects(&text, Format::Yaml, "default").unwrap_err().message.contains("stand for too much"));
}

/// The real thing has some 150 lines for each pod. The bound is generous because tests are not optimised; optimised,
/// it takes a few tenths of a second.
#[test]
fn a_list_of_5000_pods_is_quick() {
    let mut text = String::from("apiVersion: v1\nitems:\n");
    for i in 0..5_000 {
        let _ = write!(
            text,
            "- apiVersion: v1\n  kind: Pod\n  metadata:\n    annotations:\n      a: b\n    labels:\n      app: shop\n      version: 1.0.{}\n    managedFields:\n    - manager: kubelet\n      fieldsV1: {{f:status: {{f:podIP: {{}}}}}}\n    name: shop-{i}\n    namespace: default\n  spec:\n    containers:\n    - image: shop:1\n      name: web\n      ports:\n      - containerPort: 8080\n        protocol: TCP\n    tolerations:\n    - effect: NoExecute\n      key: node.kubernetes.io/not-ready\n      operator: Exists\n  status:\n    conditions:\n    - lastProbeTime: null\n      status: \"True\"\n      type: Ready\n    phase: Running\n    podIP: 10.1.{}.{}\n",
            i % 3,
            i / 250,
            i % 250
        );
    }
    text.push_str("kind: List\nmetadata:\n  resourceVersion: \"\"\n");
    let begin = Instant::now();
    let found = yaml(&text);
    assert_eq!(found.len(), 5_000);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, ..Default::default() })]

    /// Whatever a half-written or foreign file holds, the answer is objects or an error.
    #[test]
    fn damaged_manifests_never_panic(cut in 0usize..POD.len(), at in 0usize..POD.len(), junk in "[\\x00-\\x7f\u{e4}\u{feff}]{0,6}", keep in proptest::bool::ANY) {
        let (cut, at) = (POD.floor_char_boundary(cut), POD.floor_char_boundary(at));
        let mut text = POD.to_owned();
        text.insert_str(at, &junk);
        if !keep {
            text.truncate(text.floor_char_boundary(cut));
        }
        let _ = objects(&text, Format::Yaml, "default");
        let _ = objects(&text, Format::Json, "default");
    }

    /// Any text at all.
    #[test]
    fn any_text_never_panics(text in "([-:{}\\[\\]&*!|>'\"%@`#,? \t\n]|[a-c0-9]|\u{fc}){0,40}") {
        let _ = objects(&text, Format::Yaml, "default");
    }
}
