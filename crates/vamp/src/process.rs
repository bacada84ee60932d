//! What every process of Vamp that serves has: a runtime, a log, a signal to stop, a first line for whoever started it.

mod memory;
pub(crate) mod vital;

use std::hash::{BuildHasher as _, RandomState};
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use model::name::GatewayName;
use proxy::{Proxy, Sockets};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::settings::{ListenSettings, LogSettings, ProxySettings};

pub(crate) use memory::{Memory, Tidy, give_back};

/// Between two looks at the certificate of the API.
pub(crate) const CERTIFICATE_LOOKS: Duration = Duration::from_secs(2);

/// Threads for everything but the proxy, which has its own. Two suffice: both mostly wait.
const RUNTIME_THREADS: usize = 2;

/// How far behind the proxy everything else stands where there is not enough processor time for both, as in `nice`. It still gets a
/// quarter, so that weights can be changed when they most have to be.
const NICENESS: i32 = 5;

/// The runtime of everything but the proxy.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .enable_all()
        .on_thread_start(stand_back)
        .build()
        .context("cannot start the runtime")
}

/// Lets the threads of the proxy go first. Where threads have no priority of their own nothing happens.
fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{getpriority_process, setpriority_process};
        // On Linux this is about the calling thread only, and those that it starts.
        let lowered = getpriority_process(None).and_then(|now| setpriority_process(None, now.max(NICENESS)));
        if let Err(error) = lowered {
            tracing::debug!(%error, "the priority of a thread cannot be lowered");
        }
    }
}

/// Sends the log to standard error; standard output is for the first line and for results.
pub(crate) fn log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = &settings.filter;
    // The library logs every attempt to reach an API server that is away. Whoever follows it says so once; a filter that names the
    // library shows it all the same.
    let quiet = format!("kube_client=off,{filter}");
    let parsed = tracing_subscriber::EnvFilter::try_new(quiet).with_context(|| {
        format!("--log '{filter}' is not a filter, write for example info or proxy=debug,info")
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        // Told on standard error as well, and whoever cannot do that panics: a full disk or a reader that has gone would end the tasks
        // that log.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    if settings.format == "json" {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?;
    let token = CancellationToken::new();
    let stopped = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(token)
}

/// Opens the access log again whenever SIGHUP comes, which programs send that have moved the file away. A terminal that is closed sends it
/// as well, and is no reason to end.
pub(crate) fn follow_hang_ups(proxy: &Proxy) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hang_ups = signal(SignalKind::hangup()).context("cannot watch for SIGHUP")?;
    let proxy = proxy.clone();
    tokio::spawn(async move {
        while hang_ups.recv().await.is_some() {
            proxy.reopen_access_log();
        }
    });
    Ok(())
}

/// The first line on standard output, for programs that start Vamp on free ports.
pub(crate) fn announce(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

/// The proxy's settings.
pub(crate) fn proxy_settings(
    given: &ProxySettings,
    listen: &ListenSettings,
    sockets: &Sockets,
) -> proxy::Settings {
    let defaults = proxy::Settings::default();
    let care = &given.care;
    proxy::Settings {
        limits: proxy::Limits {
            target_requests: care.target_requests,
            target_pending: care.target_pending,
            ..defaults.limits
        },
        outliers: proxy::OutlierRules {
            failures: care.eject_after,
            ejection_time: care.ejection_time,
            longest_ejection: care.ejection_time.saturating_mul(10),
            most_ejected: care.most_ejected.hundredths(),
            slow_start: care.slow_start,
            ..defaults.outliers
        },
        workers: match given.workers {
            0 => defaults.workers,
            workers => workers,
        }
        .max(sockets.workers()),
        sockets: sockets.clone(),
        address: listen.gateway_address,
        virtual_host_listen: Some(listen.virtual_host_listen),
        virtual_host_tls_listen: Some(listen.virtual_host_tls_listen),
        virtual_host_proxy_protocol: given.virtual_host_proxy_protocol,
        access_log: given.access_log.as_ref().map(|file| match file.to_str() {
            Some("-") => proxy::AccessLog::Stdout,
            _ => proxy::AccessLog::File(file.clone()),
        }),
        access_log_sample: given.access_log_sample.hundredths(),
        trace_context: match given.trace_context.as_str() {
            "create" => proxy::TraceContext::Create { sampled: given.trace_sample.hundredths() },
            _ => proxy::TraceContext::Pass,
        },
        ..defaults
    }
}

/// The retry budgets of a proxy's gateways, for the page of metrics.
pub(crate) fn budgets(proxy: &proxy::Proxy) -> Vec<telemetry::GatewayGauge> {
    let gauge = |status: proxy::GatewayStatus| telemetry::GatewayGauge {
        gateway: status.gateway,
        retries_left: status.retries_left,
        retries_refused: status.retries_refused,
    };
    proxy.gateways().into_iter().map(gauge).collect()
}

/// The certificates that a proxy shows, for the page of metrics.
pub(crate) fn certificates(proxy: &proxy::Proxy) -> Vec<(GatewayName, String, i64)> {
    let all = proxy.certificates();
    all.iter()
        .filter_map(|one| Some((one.gateway.clone(), one.source.clone(), one.not_after?.as_second())))
        .collect()
}

/// What became of its TLS handshakes; nothing where no gateway has TLS.
pub(crate) fn handshakes(proxy: &proxy::Proxy) -> Vec<(&'static str, u64)> {
    let counted = proxy.handshakes();
    if proxy.certificates().is_empty() && counted == proxy::Handshakes::default() {
        return Vec::new();
    }
    std::iter::once(("done", counted.done)).chain(counted.failed).collect()
}

/// A number that nobody can foresee; not for secrets.
pub(crate) fn chance() -> u64 {
    // The standard library's only source: each of these has keys of its own.
    RandomState::new().hash_one(std::process::id())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Of the calling thread; proc(5) has the fields.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux has it");
        let after_name = stat.rsplit(')').next().expect("a name in brackets");
        after_name.split_whitespace().nth(16).expect("nineteen fields").parse().expect("a number")
    }

    #[test]
    fn threads_of_the_runtime_stand_back_and_the_one_that_starts_it_does_not() {
        let before = niceness();
        let runtime = runtime().unwrap();
        let there = runtime.block_on(async { tokio::spawn(async { niceness() }).await }).unwrap();
        assert_eq!((there, niceness()), (NICENESS.max(before), before));
    }
}
