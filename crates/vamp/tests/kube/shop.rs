//! The sava shop as images of a cluster, and its Deployments as the tutorial writes them.

use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::kube::{Image, Kubelet, Namespace};

use crate::harness::program;

/// Brings `vampio/sava-product` and `vampio/sava-cart` of some versions to the nodes.
pub(crate) async fn load(namespace: &Namespace, images: &[(&str, &str)]) {
    for (name, version) in images {
        let port = if *name == "sava-product" { 8080 } else { 3000 };
        let image = Image {
            reference: &format!("vampio/{name}:{version}"),
            program: &program(),
            environment: &[&format!("SAVA_VERSION={version}"), &format!("SAVA_BIND=0.0.0.0:{port}")],
            arguments: &[name],
        };
        namespace.load(&image).await;
    }
}

/// Where gateways of this process listen: their ports may be in use elsewhere.
pub(crate) fn gateways() -> String {
    let process = std::process::id();
    format!("127.90.{}.{}", process / 250 % 250, process % 250 + 1)
}

/// Runs the pods of a namespace as processes of this machine, each on a loopback address of its own, where no node runs them.
pub(crate) fn run_here(namespace: &Namespace) -> Kubelet {
    Kubelet::start(
        namespace,
        Duration::from_millis(500),
        Box::new(|pod, ip| {
            Box::pin(async move { start(&pod, ip).await.map(|it| Box::new(it) as Box<dyn Any + Send>) })
        }),
    )
}

/// A process that ends with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(pod: &Value, ip: IpAddr) -> io::Result<Process> {
    let container = &pod["spec"]["containers"][0];
    let image = container["image"].as_str().unwrap_or_default();
    let (name, version) = image.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let port = container["ports"][0]["containerPort"].as_u64().unwrap_or_default();
    let address = SocketAddr::new(ip, u16::try_from(port).map_err(io::Error::other)?);
    let mut command = Command::new(program());
    command.arg(name.rsplit('/').next().unwrap_or_default());
    command.args(["--version", version, "--listen", &address.to_string()]);
    // There are no names of Services here.
    command.env("SAVA_PRODUCT_URL", format!("http://{}:9070", gateways()));
    for variable in container["env"].as_array().into_iter().flatten() {
        if let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str()) {
            command.env(name, value);
        }
    }
    let process = Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(io::ErrorKind::TimedOut.into())
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
