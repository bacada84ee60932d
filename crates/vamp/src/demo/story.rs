//! The story: each step says what it does, shows the command that does the same, does it, and checks what came of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::serve::Server;

/// How long a step waits for processes and routes to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells the whole story.
pub(super) async fn tell(server: &Server, browser: bool) -> anyhow::Result<()> {
    let story = Story::new(server)?;
    story.deploy_first_version().await?;
    story.release_first_version().await?;
    story.release_store_front().await?;
    story.deploy_second_version().await?;
    story.shift_half().await?;
    story.version_by_header().await?;
    story.bad_version().await?;
    story.end(browser);
    Ok(())
}

struct Story {
    http: reqwest::Client,
    api: String,
    address: IpAddr,
    /// Port of the product gateway: the tutorial's 9070 unless that is taken.
    port: u16,
    hosts: String,
}

/// An answer of the product service.
struct Reply {
    status: u16,
    version: String,
    media_type: String,
}

impl Story {
    fn new(server: &Server) -> anyhow::Result<Self> {
        // A connection for each request would do as well; this is what clients do.
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()?;
        let address = server.gateway_address();
        let port = match TcpListener::bind((address, 9070)) {
            Ok(_) => 9070,
            Err(_) => {
                TcpListener::bind((address, 0)).and_then(|l| l.local_addr()).context("no free port")?.port()
            }
        };
        let hosts = server.virtual_hosts().to_string();
        Ok(Self { http, api: format!("http://{}", server.api()), address, port, hosts })
    }

    // -- The steps ----------------------------------------------------------------------------------------------------------

    async fn deploy_first_version(&self) -> anyhow::Result<()> {
        title("1. Deploy sava-product 1.0.3");
        say(
            "A CD pipeline would run `kubectl create -f`. Here Vamp's local platform runs the same manifest as a process.",
        );
        let took = Instant::now();
        self.deploy(&product("1.0.3", &[])).await?;
        let address = self.instance("sava-product-1.0.3").await?;
        say(&format!("The instance is ready at {address} after {:.1} s.", took.elapsed().as_secs_f64()));
        show(&format!("curl http://{address}/products/ie"));
        let reply = self.reply(self.http.get(format!("http://{address}/products/ie"))).await?;
        ensure!(reply.status == 200, "the instance answered {}", reply.status);
        say("It answers, but only to those who know its address: deployed, not released.");
        Ok(())
    }

    async fn release_first_version(&self) -> anyhow::Result<()> {
        title("2. Release it: three lines");
        let document = format!(
            "name: sava-product\nport: {}\nselector: label(app)(sava-product) && label(version)((.*))\n",
            self.port
        );
        for line in document.lines() {
            say(&format!("    {line}"));
        }
        show(&format!("curl -X POST {}/api/v1/gateways --data-binary @sava-product.yaml", self.api));
        self.write(reqwest::Method::PUT, "/gateways/sava-product", &document).await?;
        self.routes("sava-product", &[("(1.0.3)", "100%")]).await?;
        show(&format!("curl http://{}:{}/products/ie", self.address, self.port));
        let counts = self.count(20, None).await?;
        expect(&counts, &[("1.0.3", 20)])?;
        say("20 requests through the gateway: 20 answers of 1.0.3. Released.");
        Ok(())
    }

    async fn release_store_front(&self) -> anyhow::Result<()> {
        title("3. The store front behind a virtual host");
        let url = format!("http://{}:{}", self.address, self.port);
        self.deploy(&cart("1.0.5", "IE", &url)).await?;
        self.instance("sava-cart-1.0.5-ie").await?;
        let document = "name: sava-cart-ie\nvirtual_hosts:\n- ie.tutorials.vamp.cloud\n- ie.sava.localhost\n\
             selector: label(app)(sava-cart) && label(locale)(IE) && label(version)((.*))\n";
        self.write(reqwest::Method::PUT, "/gateways/sava-cart-ie", document).await?;
        self.routes("sava-cart-ie", &[("(1.0.5)", "100%")]).await?;
        show(&format!("curl -H 'Host: ie.tutorials.vamp.cloud' http://{}/", self.hosts));
        let page = self
            .http
            .get(format!("http://{}/", self.hosts))
            .header("host", "ie.tutorials.vamp.cloud")
            .send()
            .await?
            .error_for_status()?
            .text()
            .await?;
        ensure!(page.contains("</html>"), "the store front sent no page");
        say(&format!(
            "The store front answers with a page of {} bytes. In a browser: http://ie.sava.localhost:{}/",
            page.len(),
            self.hosts_port()
        ));
        Ok(())
    }

    async fn deploy_second_version(&self) -> anyhow::Result<()> {
        title("4. Deploy sava-product 2.0.1");
        self.deploy(&product("2.0.1", &[])).await?;
        self.routes("sava-product", &[("(1.0.3)", "100%"), ("(2.0.1)", "0%")]).await?;
        show(&format!("curl {}/api/v1/gateways/sava-product", self.api));
        let counts = self.count(50, None).await?;
        expect(&counts, &[("1.0.3", 50)])?;
        say("A new route (2.0.1) at 0 %. 50 requests: 50 to 1.0.3. Deployed, not released.");
        Ok(())
    }

    async fn shift_half(&self) -> anyhow::Result<()> {
        title("5. Move half of the traffic");
        show("vamp weight sava-product '(1.0.3)=50%' '(2.0.1)=50%'");
        let applied = self.set(&json!({"(1.0.3)": {"weight": "50%"}, "(2.0.1)": {"weight": "50%"}})).await?;
        let counts = self.count(100, None).await?;
        expect(&counts, &[("1.0.3", 50), ("2.0.1", 50)])?;
        say(&format!("Every proxy served the change after {applied} ms. 100 requests: 50 and 50, exactly."));
        Ok(())
    }

    async fn version_by_header(&self) -> anyhow::Result<()> {
        title("6. Route by API version");
        say("Clients that ask for version 1 of the API stay on 1.0.3, everybody else gets 2.0.1.");
        show("vamp condition sava-product '(1.0.3)' 'Header Accept Contains v1'");
        show("vamp condition sava-product '(2.0.1)' 'Header Accept Contains v2'");
        show("vamp weight sava-product '(2.0.1)=100%'");
        self.set(&json!({
            "(1.0.3)": {"weight": "0%", "condition": "Header Accept Contains v1"},
            "(2.0.1)": {"weight": "100%", "condition": "Header Accept Contains v2"},
        }))
        .await?;
        for (accept, version) in [
            (Some("application/vnd.sava.v1+json"), "1.0.3"),
            (Some("application/vnd.sava.v2+json"), "2.0.1"),
            (None, "2.0.1"),
        ] {
            let counts = self.count(20, accept).await?;
            expect(&counts, &[(version, 20)])?;
            let header = accept.map(|a| format!("-H 'Accept: {a}' ")).unwrap_or_default();
            show(&format!("curl {header}http://{}:{}/products/ie", self.address, self.port));
            let reply = self.request(accept).await?;
            say(&format!("20 requests, 20 answers of {version} ({})", reply.media_type));
        }
        Ok(())
    }

    async fn bad_version(&self) -> anyhow::Result<()> {
        title("7. A bad version, taken back");
        show("vamp condition sava-product '(1.0.3)' --clear");
        show("vamp condition sava-product '(2.0.1)' --clear");
        self.set(&json!({
            "(1.0.3)": {"weight": "0%", "condition": ""},
            "(2.0.1)": {"weight": "100%", "condition": ""},
        }))
        .await?;
        self.deploy(&product("2.0.2", &[("SAVA_ERROR_RATE", "50")])).await?;
        self.routes("sava-product", &[("(1.0.3)", "0%"), ("(2.0.1)", "100%"), ("(2.0.2)", "0%")]).await?;
        say(
            "2.0.2 fails every second request. It appears at 0 %; we give it a fifth of the traffic, under steady load.",
        );
        show("vamp weight sava-product '(2.0.2)=20%'");
        let load = Load::start(self);
        self.set(&json!({
            "(1.0.3)": {"weight": "0%"}, "(2.0.1)": {"weight": "80%"}, "(2.0.2)": {"weight": "20%"},
        }))
        .await?;
        let seen = wait("errors of 2.0.2 to show in its metrics", || async {
            let figures = self.read("/figures").await?;
            let errors = |path: &str| {
                route_figures(&figures, "sava-product", path)
                    .and_then(|route| route.get("error_rate")?.as_f64())
                    .unwrap_or_default()
            };
            Ok((errors("(2.0.2)") > 0.0).then(|| (errors("(2.0.1)"), errors("(2.0.2)"))))
        })
        .await?;
        show(&format!("curl {}/api/v1/figures", self.api));
        say(&format!(
            "The metrics show {:.0} % errors of 2.0.2 and {:.0} % of 2.0.1. Take it back:",
            seen.1 * 100.0,
            seen.0 * 100.0
        ));
        show("vamp weight sava-product '(2.0.2)=0%'");
        let start = Instant::now();
        let applied = self
            .set(&json!({
                "(1.0.3)": {"weight": "0%"}, "(2.0.1)": {"weight": "100%"}, "(2.0.2)": {"weight": "0%"},
            }))
            .await?;
        let took = start.elapsed();
        let result = load.stop_after(200).await?;
        ensure!(result.failed_before > 0, "the bad version got no request");
        ensure!(
            result.failed_after == 0,
            "{} requests failed after the change was acknowledged",
            result.failed_after
        );
        say(&format!(
            "Taken back in {:.1} ms from the request to the answer ({applied} ms until every proxy served it).",
            took.as_secs_f64() * 1000.0
        ));
        say(&format!(
            "Under load: {} of {} requests failed before, 0 of {} after the acknowledgement.",
            result.failed_before, result.before, result.after
        ));
        Ok(())
    }

    fn end(&self, browser: bool) {
        title("Yours to play with");
        let program =
            std::env::current_exe().map_or_else(|_| "vamp".into(), |path| path.display().to_string());
        let store = format!("http://ie.sava.localhost:{}/", self.hosts_port());
        say(&format!("Store front  {store}"));
        say(&format!("Products     http://{}:{}/products/ie", self.address, self.port));
        say(&format!("API          {}/api/v1, described by {}/openapi.json", self.api, self.api));
        say(&format!("Metrics      {}/metrics", self.api));
        say(&format!("Client       export VAMP_URL={}", self.api));
        for verb in ["get gateways", "top", "events --watch"] {
            say(&format!("             {program} {verb}"));
        }
        say("Ctrl-C stops everything.");
        let display = std::env::var_os("DISPLAY").is_some() || std::env::var_os("WAYLAND_DISPLAY").is_some();
        if browser && display {
            // A desktop without xdg-open is no reason to fail.
            let _ = std::process::Command::new("xdg-open").arg(store).spawn();
        }
    }

    // -- What the steps are made of --------------------------------------------------------------------------------------------

    fn hosts_port(&self) -> &str {
        self.hosts.rsplit(':').next().unwrap_or_default()
    }

    async fn read(&self, path: &str) -> anyhow::Result<Value> {
        let response = self.http.get(format!("{}/api/v1{path}", self.api)).send().await?;
        let status = response.status();
        let body: Value = response.json().await.with_context(|| format!("GET {path}"))?;
        ensure!(status.is_success(), "GET {path}: {status} {body}");
        Ok(body)
    }

    /// Sends a change and waits until every proxy serves it; the milliseconds until then.
    async fn write(&self, method: reqwest::Method, path: &str, body: &str) -> anyhow::Result<String> {
        let response = self
            .http
            .request(method, format!("{}/api/v1{path}?wait=applied", self.api))
            .header("content-type", "application/x-yaml")
            .header("vamp-actor", "demo")
            .body(body.to_owned())
            .send()
            .await?;
        let status = response.status();
        let applied =
            response.headers().get("vamp-applied-ms").and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(applied)
    }

    async fn deploy(&self, manifest: &Value) -> anyhow::Result<()> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        show(&format!("vamp local apply -f {name}.yml"));
        self.write(reqwest::Method::POST, "/workloads", &manifest.to_string()).await?;
        Ok(())
    }

    /// Writes the gateway with other settings for its routes.
    async fn set(&self, routes: &Value) -> anyhow::Result<String> {
        let mut document = self.read("/gateways/sava-product").await?;
        for (path, settings) in routes.as_object().into_iter().flatten() {
            for (field, value) in settings.as_object().into_iter().flatten() {
                document["routes"][path][field] = value.clone();
                if field == "condition" {
                    document["routes"][path]["condition_strength"] =
                        json!(if value == "" { "0%" } else { "100%" });
                }
            }
        }
        self.write(reqwest::Method::PUT, "/gateways/sava-product", &document.to_string()).await
    }

    /// Waits for the first ready instance of a workload; its address and port.
    async fn instance(&self, workload: &str) -> anyhow::Result<String> {
        wait(&format!("{workload} to become ready"), || async {
            let workloads = self.read("/workloads").await?;
            let workload = workloads.as_array().into_iter().flatten().find(|w| w["name"] == workload);
            let instances = workload.and_then(|w| w["instances"].as_array()).into_iter().flatten();
            let ready = instances.into_iter().find(|i| i["ready"] == true);
            Ok(ready.map(|i| format!("{}:{}", i["ip"].as_str().unwrap_or_default(), i["ports"][0])))
        })
        .await
    }

    /// Waits until the gateway has exactly these routes, weights and at least one target in each.
    async fn routes(&self, gateway: &str, expected: &[(&str, &str)]) -> anyhow::Result<()> {
        let names: Vec<&str> = expected.iter().map(|(path, _)| *path).collect();
        wait(&format!("the routes {} of {gateway}", names.join(", ")), || async {
            let document = self.read(&format!("/gateways/{gateway}")).await?;
            let Some(routes) = document["routes"].as_object() else { return Ok(None) };
            let same = routes.len() == expected.len()
                && expected.iter().all(|(path, weight)| {
                    routes[*path]["weight"] == *weight
                        && routes[*path]["targets"].as_array().is_some_and(|targets| !targets.is_empty())
                });
            if same {
                for (path, weight) in expected {
                    say(&format!("    route {path}: {weight}"));
                }
            }
            Ok(same.then_some(()))
        })
        .await
    }

    async fn request(&self, accept: Option<&str>) -> anyhow::Result<Reply> {
        let mut request = self.http.get(format!("http://{}:{}/products/ie", self.address, self.port));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        self.reply(request).await
    }

    async fn reply(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Reply> {
        let response = request.send().await?;
        let header =
            |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
        let reply = Reply {
            status: response.status().as_u16(),
            version: header("x-sava-version"),
            media_type: header("content-type"),
        };
        response.bytes().await?;
        Ok(reply)
    }

    /// Sends requests one after the other and counts the answers by version.
    async fn count(&self, requests: usize, accept: Option<&str>) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let reply = self.request(accept).await?;
            ensure!(reply.status == 200, "a request was answered with {}", reply.status);
            *counts.entry(reply.version).or_default() += 1;
        }
        Ok(counts)
    }
}

/// Steady load in the background that knows which answers came before and after a moment.
struct Load {
    taken_back: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<anyhow::Result<LoadResult>>,
}

#[derive(Default)]
struct LoadResult {
    before: u64,
    failed_before: u64,
    after: u64,
    failed_after: u64,
}

impl Load {
    fn start(story: &Story) -> Self {
        let taken_back = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let (over, end) = (Arc::clone(&taken_back), Arc::clone(&stop));
        let http = story.http.clone();
        let url = format!("http://{}:{}/products/ie", story.address, story.port);
        let task = tokio::spawn(async move {
            let mut result = LoadResult::default();
            while !end.load(Ordering::Acquire) {
                // A request belongs to the time at which it was sent.
                let after = over.load(Ordering::Acquire);
                let response = http.get(&url).send().await?;
                let failed = u64::from(response.status().is_server_error());
                response.bytes().await?;
                if after {
                    result.after += 1;
                    result.failed_after += failed;
                } else {
                    result.before += 1;
                    result.failed_before += failed;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(result)
        });
        Self { taken_back, stop, task }
    }

    /// From now on answers count as "after"; stops when about so many more were sent.
    async fn stop_after(self, requests: u64) -> anyhow::Result<LoadResult> {
        self.taken_back.store(true, Ordering::Release);
        tokio::time::sleep(Duration::from_millis(requests * 3)).await;
        self.stop.store(true, Ordering::Release);
        self.task.await?
    }
}

async fn wait<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = ask().await? {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("waited {} s for {what}", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn expect(counts: &BTreeMap<String, usize>, expected: &[(&str, usize)]) -> anyhow::Result<()> {
    let expected: BTreeMap<String, usize> = expected.iter().map(|(v, n)| ((*v).to_owned(), *n)).collect();
    ensure!(*counts == expected, "answers by version were {counts:?}, expected {expected:?}");
    Ok(())
}

fn route_figures<'a>(figures: &'a Value, gateway: &str, route: &str) -> Option<&'a Value> {
    let gateway = figures["gateways"].as_array()?.iter().find(|g| g["name"] == gateway)?;
    gateway["routes"].as_array()?.iter().find(|r| r["path"] == route)
}

fn product(version: &str, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    deployment(
        &format!("sava-product-{version}"),
        &json!({"app": "sava-product", "version": version}),
        &json!({
            "name": "sava-product", "image": format!("vampio/sava-product:{version}"),
            "ports": [{"containerPort": 8080}], "env": env,
        }),
    )
}

fn cart(version: &str, locale: &str, products: &str) -> Value {
    deployment(
        &format!("sava-cart-{version}-{}", locale.to_lowercase()),
        &json!({"app": "sava-cart", "version": version, "locale": locale}),
        &json!({
            "name": "sava-cart", "image": format!("vampio/sava-cart:{version}"), "ports": [{"containerPort": 3000}],
            "env": [{"name": "LOCALE", "value": locale}, {"name": "SAVA_PRODUCT_URL", "value": products}],
        }),
    )
}

fn deployment(name: &str, labels: &Value, container: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": labels["app"]}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    })
}

fn title(text: &str) {
    say(&format!("\n== {text}"));
}

fn show(command: &str) {
    say(&format!("  $ {command}"));
}

/// A reader that went away is no reason to stop the story.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
