//! The sava shop as images of a cluster, and its Deployments as the tutorial writes them.

use std::path::Path;

use testkit::kube::{Image, Namespace};

/// Brings `vampio/sava-product` and `vampio/sava-cart` of some versions to the nodes.
pub(crate) async fn load(namespace: &Namespace, images: &[(&str, &str)]) {
    for (name, version) in images {
        let port = if *name == "sava-product" { 8080 } else { 3000 };
        let image = Image {
            reference: &format!("vampio/{name}:{version}"),
            program: Path::new(env!("CARGO_BIN_EXE_vamp")),
            environment: &[&format!("SAVA_VERSION={version}"), &format!("SAVA_BIND=0.0.0.0:{port}")],
            arguments: &[name],
        };
        namespace.load(&image).await;
    }
}

/// `sava-product-VERSION.yml`.
pub(crate) fn product(version: &str) -> String {
    format!(
        "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sava-product-{version}
spec:
  selector:
    matchLabels:
      app: sava-product
  replicas: 1
  template:
    metadata:
      labels:
        app: sava-product
        version: {version}
    spec:
      containers:
      - name: sava-product
        image: vampio/sava-product:{version}
        ports:
        - containerPort: 8080
"
    )
}

/// `sava-cart-1.0.5-ie.yml`.
pub(crate) const CART: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: sava-cart-1.0.5-ie
spec:
  selector:
    matchLabels:
      app: sava-cart
  replicas: 1
  template:
    metadata:
      labels:
        app: sava-cart
        version: 1.0.5
        locale: IE
    spec:
      containers:
      - name: sava-cart
        image: vampio/sava-cart:1.0.5
        ports:
        - containerPort: 3000
        env:
        - name: LOCALE
          value: IE
";
