//! `vamp demo`: the tutorial's story with real processes and real requests.
//!
//! Every figure that is printed was measured in this run. A step that does not hold stops the story with an error.

mod story;

use std::net::TcpListener;

use anyhow::Context as _;
use clap::Args;
use proxy::Sockets;

use crate::process;
use crate::serve::Server;
use crate::settings::Settings;

/// Flags of `vamp demo` besides those of `serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Do not open a browser
    #[arg(long)]
    no_browser: bool,
    /// Stop after the story; exit with 0 when every step held
    #[arg(long)]
    exit_after_story: bool,
}

/// Starts everything, tells the story, and goes on running until it is stopped.
pub(crate) fn run(
    mut settings: Settings,
    mut applied: Vec<(String, String, &'static str)>,
    options: &Options,
) -> anyhow::Result<()> {
    let given = |name: &str| applied.iter().any(|(key, _, source)| key == name && *source != "default");
    // A demo leaves nothing behind and does not mind a Vamp that already runs, unless told where to be.
    let folder = tempfile::Builder::new()
        .prefix("vamp-demo-")
        .tempdir()
        .context("cannot make a folder for the demo")?;
    if !given("data-dir") {
        settings.data_dir = folder.path().to_owned();
    }
    if !given("log") {
        settings.log.filter = "warn".into();
    }
    for (name, address) in [
        ("api-listen", &mut settings.api.listen),
        ("virtual-host-listen", &mut settings.listen.virtual_host_listen),
        ("virtual-host-tls-listen", &mut settings.listen.virtual_host_tls_listen),
    ] {
        if !given(name) && TcpListener::bind(*address).is_err() {
            address.set_port(0);
        }
    }
    for (name, value, _) in &mut applied {
        match name.as_str() {
            "data-dir" => *value = settings.data_dir.display().to_string(),
            "api-listen" => *value = settings.api.listen.to_string(),
            "virtual-host-listen" => *value = settings.listen.virtual_host_listen.to_string(),
            "virtual-host-tls-listen" => *value = settings.listen.virtual_host_tls_listen.to_string(),
            _ => {}
        }
    }
    process::log(&settings.log)?;
    process::runtime()?.block_on(async {
        let drain = settings.proxy.drain_timeout;
        let server = Server::start(settings, applied, &Sockets::default(), None).await?;
        let stopped = process::stop_signal()?;
        let browser = !options.no_browser && !options.exit_after_story;
        let told = tokio::select! {
            told = story::tell(&server, browser) => told.map(|()| true),
            () = stopped.clone().cancelled_owned() => Ok(false),
        };
        let result = match told {
            Ok(true) if !options.exit_after_story => {
                stopped.cancelled().await;
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        server.shut_down(drain).await;
        result
    })
}
