//! What is in `examples/` works.

use testkit::kube::Namespace;

use super::*;

fn documents(file: &str) -> Vec<Value> {
    let text = text(&root().join("examples").join(file)).unwrap();
    let nodes = model::yaml::read_all(&text).unwrap_or_else(|problems| panic!("{file}: {problems}"));
    nodes.iter().map(model::yaml::Node::to_value).collect()
}

/// The tutorial's gateways are the same by the API and by kubectl.
#[test]
fn documents_and_custom_resources_declare_the_same() {
    for name in ["sava-product", "sava-cart-ie"] {
        let document = documents(&format!("tutorial/documents/{name}.yml")).remove(0);
        model::gateway::GatewayDocument::read(&document.to_string())
            .unwrap_or_else(|p| panic!("{name}: {p}"));
        let mut resource = documents(&format!("tutorial/gateways/{name}.yml")).remove(0);
        assert_eq!(resource["metadata"]["name"], document["name"]);
        resource["spec"]["name"] = document["name"].clone();
        assert_eq!(resource["spec"], document);
    }
}

/// The releases of the product service differ in nothing but their version.
#[test]
fn releases_differ_in_their_version() {
    let first = documents("tutorial/sava-product-1.0.3.yml").remove(0).to_string();
    for version in ["2.0.1", "2.0.2"] {
        let next = documents(&format!("tutorial/sava-product-{version}.yml")).remove(0).to_string();
        assert_eq!(first.replace("1.0.3", version), next);
    }
}

#[tokio::test]
async fn an_api_server_takes_the_examples() {
    let Some(namespace) = Namespace::new("examples").await else { return };
    let crds = root().join("deploy/crds").display().to_string();
    // Before 1.25 a cluster does not know the rules of CEL in them, and kubectl refuses what the cluster does not know.
    namespace.kubectl(&["apply", "--validate=false", "-f", &crds]).await;
    for name in ["gateways.vamp.io", "records.vamp.io"] {
        let name = format!("customresourcedefinition/{name}");
        namespace.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &name]).await;
    }
    let examples = root().join("examples");
    for folder in ["tutorial", "tutorial/gateways", "ingress/gateways.yml"] {
        let path = examples.join(folder).display().to_string();
        let answer = namespace.kubectl(&["apply", "--dry-run=server", "-f", &path]).await;
        assert!(answer.lines().all(|line| line.ends_with("(server dry run)")), "{answer}");
    }
    let rendered =
        namespace.kubectl(&["kustomize", &examples.join("gitops/shop").display().to_string()]).await;
    let moved = rendered.replace("namespace: shop", &format!("namespace: {}", namespace.name()));
    let answer = namespace.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &moved).await;
    assert!(answer.contains("gateway.vamp.io/sava-product created"), "{answer}");
    let roles = root().join("deploy/roles.yaml").display().to_string();
    let answer = namespace.kubectl(&["apply", "--dry-run=server", "-f", &roles]).await;
    assert_eq!(answer.lines().count(), 3, "{answer}");
}
