//! The services as programs of their own, for container images. In a container nobody else is on loopback, so they
//! listen on every address; the image says which version it is (`VERSION`).

use std::future::Future;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use tracing_subscriber::fmt;

use crate::{ServeError, SettingsError, cart, product};

/// Runs the product service until SIGTERM, on port 8080 unless `SAVA_BIND` says otherwise.
pub fn product() -> ExitCode {
    run(8080, |version, listen| product::Settings::read(version, Some(listen), &variable), product::serve)
}

/// Runs the store front until SIGTERM, on port 3000 unless `SAVA_BIND` says otherwise.
pub fn cart() -> ExitCode {
    run(3000, |version, listen| cart::Settings::read(version, Some(listen), &variable), cart::serve)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn run<S, F>(
    port: u16,
    read: impl FnOnce(Option<&str>, &str) -> Result<S, SettingsError>,
    serve: impl FnOnce(S) -> F,
) -> ExitCode
where
    F: Future<Output = Result<(), ServeError>>,
{
    fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let version = variable("SAVA_VERSION").or_else(|| variable("VERSION"));
    let listen = variable("SAVA_BIND").unwrap_or_else(|| format!("{}:{port}", Ipv4Addr::UNSPECIFIED));
    let settings = match read(version.as_deref(), &listen) {
        Ok(settings) => settings,
        Err(error) => return failed(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::FAILURE
}
