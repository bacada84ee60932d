//! A real API server takes every shape. It checks far more than a schema can: names of ports, selectors, rules of RBAC.

use testkit::kube::Namespace;

use super::*;

#[tokio::test]
async fn an_api_server_takes_every_shape() {
    let Some(home) = Namespace::new("chart").await else { return };
    let (Some(test), Some(live)) = (Namespace::new("chart").await, Namespace::new("chart").await) else {
        return;
    };
    let mut chart = chart();
    let versions = home.kubectl(&["api-versions"]).await;
    chart.library.api_versions = versions.lines().map(str::to_owned).collect();
    for (shape, mut values) in shapes() {
        if values["environments"].is_array() {
            values["environments"] = json!([test.name(), live.name()]);
        }
        let objects = chart.render(&Release { namespace: home.name(), values }).unwrap();
        let known = |object: &&Object| {
            // Only the operator of Prometheus knows a ServiceMonitor.
            let version = object.value["apiVersion"].as_str().unwrap_or_default();
            version != "monitoring.coreos.com/v1" || chart.library.api_versions.iter().any(|v| v == version)
        };
        let texts: Vec<&str> = objects.iter().filter(known).map(|object| object.text.as_str()).collect();
        assert!(texts.len() >= 3, "{shape}");
        let answer =
            home.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &texts.join("\n---\n")).await;
        assert_eq!(answer.lines().count(), texts.len(), "{shape}: {answer}");
    }
    let plain = root().join("deploy/install.yaml").display().to_string();
    let answer = home.kubectl(&["apply", "--dry-run=server", "-f", &plain]).await;
    assert!(answer.contains("deployment.apps/vamp-controller created (server dry run)"), "{answer}");
}
