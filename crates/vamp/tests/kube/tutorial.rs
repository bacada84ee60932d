//! The tutorial "Smarter releasing on Kubernetes", with its own manifests, commands and links, then a canary.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use testkit::kube::{Namespace, eventually};

use crate::api::Api;
use crate::harness::Vamp;
use crate::installed::Installed;
use crate::load::Connections;
use crate::node::{client, outside};
use crate::shop;

const NAMESPACE: &str = "vampio-organization-environment";

/// One who follows the tutorial, in a folder with the files that it tells to save.
struct Reader {
    namespace: Namespace,
    folder: tempfile::TempDir,
    http: reqwest::Client,
    /// Pods run on nodes, and the API server reaches them. Else links lead past it.
    nodes: bool,
}

impl Reader {
    /// Saves a file and runs a command line of the tutorial; what it prints.
    fn shell(&self, command: &str) -> String {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.folder.path());
        let output = shell.env("KUBECONFIG", self.namespace.kubeconfig()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn save(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// Opens a link of `kubectl proxy`; what it shows once it works.
    async fn open(&self, link: &str) -> String {
        eventually(&format!("{link} to work"), || async {
            let url = match self.nodes {
                true => link.replace("http://localhost:8001", self.namespace.api()),
                false => self.past_the_api_server(link).await.ok_or("not there")?,
            };
            let answer = self.http.get(url).send().await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status == 200 { Ok(text) } else { Err(format!("{status} {text}")) }
        })
        .await
    }

    /// Where a link leads. The API server refuses loopback addresses.
    async fn past_the_api_server(&self, link: &str) -> Option<String> {
        let (object, path) = link.split_once("/proxy/")?;
        let mut parts = object.rsplit('/');
        let (name, kind) = (parts.next()?, parts.next()?);
        let object = self.namespace.get(kind, name).await?;
        let (host, port) = match kind {
            "pods" => {
                let port = &object["spec"]["containers"][0]["ports"][0]["containerPort"];
                (object["status"]["podIP"].as_str()?.to_owned(), port)
            }
            _ => (shop::gateways(), &object["spec"]["ports"][0]["port"]),
        };
        Some(format!("http://{host}:{port}/{path}"))
    }

    /// The link that one of its commands prints, once the pod runs.
    async fn pod_link(&self, command: &str, app: &str) -> String {
        eventually(&format!("the pod of {app} to be ready"), || async {
            let ready = self.namespace.list("pods").await.into_iter().any(|pod| {
                let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
                pod["metadata"]["labels"]["app"] == app
                    && pod["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(ready))
            });
            if ready { Ok(()) } else { Err("no".into()) }
        })
        .await;
        let printed = self.shell(command);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        printed.trim_end().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn smarter_releasing_on_kubernetes() {
    let Some(namespace) = Namespace::named(NAMESPACE).await else { return };
    let nodes = namespace.runs_pods().await;
    let (folder, http) = (tempfile::tempdir().unwrap(), client(Connections::Kept));
    if nodes {
        if !namespace.runs_images().await {
            return;
        }
        let images = [("sava-product", "1.0.3"), ("sava-product", "2.0.1"), ("sava-cart", "1.0.5")];
        shop::load(&namespace, &images).await;
        let installed = Installed::start(&namespace).await;
        let hosts = outside(&namespace, "vamp-gateway-agent").await;
        let reader = Reader { namespace, folder, http, nodes };
        follow(&reader, &installed.api, &hosts).await;
    } else {
        let _kubelet = shop::run_here(&namespace);
        let (kubeconfig, address) = (namespace.kubeconfig(), shop::gateways());
        let arguments = ["--kubeconfig", kubeconfig.to_str().unwrap(), "--gateway-address", &address];
        let vamp = Vamp::start_with(&arguments).await;
        let (api, hosts) = (Api::new(&vamp.api, None), format!("http://{}/", vamp.hosts));
        let reader = Reader { namespace, folder, http, nodes };
        follow(&reader, &api, &hosts).await;
    }
}

/// From the first line to the last. `hosts`: where virtual hosts are reached.
async fn follow(reader: &Reader, api: &Api, hosts: &str) {
    // Deploy the sava-product service.
    reader.save("sava-product-1.0.3.yml", &shop::product("1.0.3"));
    reader.shell("kubectl --namespace vampio-organization-environment create -f sava-product-1.0.3.yml");
    let link = reader
        .pod_link(
            r#"kubectl --namespace vampio-organization-environment get pods -l app=sava-product -o go-template --template '{{range .items}}http://localhost:8001/api/v1/namespaces/vampio-organization-environment/pods/{{.metadata.name}}/proxy/products/ie{{"\n"}}{{end}}'"#,
            "sava-product",
        )
        .await;
    let products = reader.open(&link).await;
    assert!(serde_json::from_str::<Vec<Value>>(&products).unwrap().len() > 3, "{products}");

    // Release it.
    let document =
        "name: sava-product\nport: 9070\nselector: label(app)(sava-product) && label(version)((.*))\n";
    api.put("sava-product", document).await;
    api.routes("sava-product", &[("(1.0.3)", "100%", 1)]).await;
    let services = "kubectl get services --namespace vampio-organization-environment";
    reader.namespace.until("services", "sava-product", "to be made", |_| true).await;
    let line =
        reader.shell(services).lines().find(|line| line.starts_with("sava-product ")).unwrap().to_owned();
    assert!(line.contains(" NodePort ") && line.contains(" 9070:"), "{line}");
    let service_link = "http://localhost:8001/api/v1/namespaces/vampio-organization-environment/services/sava-product/proxy/products/ie";
    assert_eq!(reader.open(service_link).await, products, "the same as from the pod");

    // Deploy and release the store front for the Republic of Ireland.
    reader.save("sava-cart-1.0.5-ie.yml", shop::CART);
    reader.shell("kubectl --namespace vampio-organization-environment create -f sava-cart-1.0.5-ie.yml");
    let link = reader
        .pod_link(
            // The tutorial asks for locale=UK here, which nothing has.
            r#"kubectl --namespace vampio-organization-environment get pods -l app=sava-cart,locale=IE -o go-template --template '{{range .items}}http://localhost:8001/api/v1/namespaces/vampio-organization-environment/pods/{{.metadata.name}}/proxy/{{"\n"}}{{end}}'"#,
            "sava-cart",
        )
        .await;
    let document = "\
name: sava-cart-ie
virtual_hosts:
- ie.tutorials.vamp.cloud
selector: label(app)(sava-cart) && label(locale)(IE) && label(version)((.*))
";
    api.put("sava-cart-ie", document).await;
    api.routes("sava-cart-ie", &[("(1.0.5)", "100%", 1)]).await;
    reader.namespace.until("services", "sava-cart-ie", "to be made", |_| true).await;
    let line =
        reader.shell(services).lines().find(|line| line.starts_with("sava-cart-ie ")).unwrap().to_owned();
    assert!(line.contains(" NodePort "), "{line}");
    let from_the_pod = eventually("the store front to show the products", || async {
        let page = reader.open(&link).await;
        if page.contains("Pour-over Patience Mug") { Ok(page) } else { Err(page) }
    })
    .await;
    let service_link = "http://localhost:8001/api/v1/namespaces/vampio-organization-environment/services/sava-cart-ie/proxy/";
    assert!(reader.open(service_link).await.contains("Pour-over Patience Mug"));
    assert!(from_the_pod.contains("Pour-over Patience Mug"));
    let front = reader.http.get(hosts).header("host", "ie.tutorials.vamp.cloud");
    let answer = front.send().await.unwrap();
    assert_eq!(answer.headers()["x-sava-products"], "live 1.0.3");
    assert!(answer.text().await.unwrap().contains("Pour-over Patience Mug"));

    // A canary: deployed, not released; then for those who ask for its media type; then for all.
    reader.save("sava-product-2.0.1.yml", &shop::product("2.0.1"));
    reader.shell("kubectl --namespace vampio-organization-environment create -f sava-product-2.0.1.yml");
    api.routes("sava-product", &[("(1.0.3)", "100%", 1), ("(2.0.1)", "0%", 1)]).await;
    let gateway = match reader.nodes {
        true => format!("{}/products/ie", outside(&reader.namespace, "sava-product").await),
        false => format!("http://{}:9070/products/ie", shop::gateways()),
    };
    let shares = async |accept: Option<&str>| {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..20 {
            let mut request = reader.http.get(&gateway);
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let version = answer.headers()["x-sava-version"].to_str().unwrap().to_owned();
            *seen.entry(version).or_default() += 1;
        }
        seen.into_iter().collect::<Vec<_>>()
    };
    let all = |version: &str| vec![(version.to_owned(), 20)];
    assert_eq!(shares(None).await, all("1.0.3"));
    let change = async |routes: Value| {
        let mut body = api.get("/gateways/sava-product").await;
        for (path, fields) in routes.as_object().unwrap() {
            for (field, value) in fields.as_object().unwrap() {
                body["routes"][path][field] = value.clone();
            }
        }
        let answer = api.put("sava-product", &body.to_string()).await;
        let (ready, all) = answer.applied.as_deref().and_then(|text| text.split_once('/')).unwrap();
        assert!(ready == all && all != "0", "applied by {ready} of {all} proxies");
        all.parse::<usize>().unwrap()
    };
    let (v1, v2) = ("application/vnd.sava.v1+json", "application/vnd.sava.v2+json");
    change(json!({"(2.0.1)": {"condition": "Header Accept Contains v2", "condition_strength": "100%"}}))
        .await;
    assert_eq!(shares(Some(v2)).await, all("2.0.1"));
    assert_eq!(shares(Some(v1)).await, all("1.0.3"));
    assert_eq!(shares(None).await, all("1.0.3"));
    let proxies = change(json!({"(1.0.3)": {"weight": "80%"}, "(2.0.1)": {"weight": "20%"}})).await;
    // Each proxy is exact for the requests that it gets, which are some of these.
    let seen = shares(None).await;
    assert!(seen.len() == 2 && seen[1].1.abs_diff(4) < proxies, "{seen:?} through {proxies} proxies");
    change(json!({
        "(1.0.3)": {"weight": "0%", "condition": "Header Accept Contains v1", "condition_strength": "100%"},
        "(2.0.1)": {"weight": "100%"},
    }))
    .await;
    assert_eq!(shares(Some(v1)).await, all("1.0.3"));
    assert_eq!(shares(Some(v2)).await, all("2.0.1"));
    assert_eq!(shares(None).await, all("2.0.1"));
    // The store front of 1.0 asks for version 1 of the API, and never noticed.
    let front = reader.http.get(hosts).header("host", "ie.tutorials.vamp.cloud");
    assert_eq!(front.send().await.unwrap().headers()["x-sava-products"], "live 1.0.3");

    api.delete("sava-product").await;
    reader.namespace.until_gone("services", "sava-product").await;
}
