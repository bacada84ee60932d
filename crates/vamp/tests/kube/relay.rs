//! A way to the API server that can be cut.

use std::path::PathBuf;

use serde_json::Value;
use testkit::kube::Namespace;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes connections on until it is cut; then open ones end, and new ones are closed at once.
pub(crate) struct Relay {
    open: watch::Sender<bool>,
    folder: tempfile::TempDir,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn start(namespace: &Namespace) -> Self {
        let text = std::fs::read_to_string(namespace.kubeconfig()).unwrap();
        let mut config: Value = serde_json::from_str(&text).unwrap();
        let cluster = &mut config["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().unwrap().to_owned();
        let (scheme, authority) = server.split_once("://").expect("a URL");
        let authority = authority.trim_end_matches('/').to_owned();
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        cluster["server"] = format!("{scheme}://{}", listener.local_addr().unwrap()).into();
        // The certificate is for the real one.
        cluster["tls-server-name"] = host.into();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        let (open, state) = watch::channel(true);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut state, authority) = (state.clone(), authority.clone());
                tokio::spawn(async move {
                    let relayed = async {
                        let mut server = TcpStream::connect(&authority).await?;
                        copy_bidirectional(&mut client, &mut server).await
                    };
                    tokio::select! {
                        _ = relayed => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { open, folder, task }
    }

    /// A kubeconfig that leads through it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
