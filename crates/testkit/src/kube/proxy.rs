//! The way to the API server: `kubectl proxy`, which knows every kind of credentials, and plain HTTP to it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// One for each process of tests. It ends with the process, however that ends: its standard input is closed then.
struct Proxy {
    base: String,
    _shell: Child,
}

static PROXY: OnceLock<Proxy> = OnceLock::new();

/// Where the API server of the test cluster is reached without credentials.
pub(super) fn base(kubeconfig: &Path) -> &'static str {
    &PROXY.get_or_init(|| start(kubeconfig)).base
}

fn start(kubeconfig: &Path) -> Proxy {
    let mut shell = Command::new("sh")
        .args(["-c", r#"kubectl proxy --port=0 --keepalive=60s & p=$!; read -r end; kill $p"#])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh runs");
    let mut line = String::new();
    BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
    let address = line
        .trim_end()
        .strip_prefix("Starting to serve on ")
        .unwrap_or_else(|| panic!("kubectl proxy does not start: {line:?}"));
    Proxy { base: format!("http://{address}"), _shell: shell }
}
