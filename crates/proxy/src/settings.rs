//! What a proxy is started with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::outlier::OutlierRules;
use crate::sockets::Sockets;
use crate::span::SpanSender;
use crate::trace::TraceContext;

/// Settings of a proxy; fixed while it runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Worker threads, each with its own listeners, pools and buffers.
    pub workers: usize,
    /// Address that gateway ports are bound on.
    pub address: IpAddr,
    /// Address of the shared listener that routes by Host; `None` for none.
    pub virtual_host_listen: Option<SocketAddr>,
    /// Address of the shared listener for TLS, which routes by the name asked for and by Host; `None` for none. Opened when the
    /// first gateway with virtual hosts has a certificate; with port 0 at the start.
    pub virtual_host_tls_listen: Option<SocketAddr>,
    /// Connections to the shared listeners begin with a header of the PROXY protocol.
    pub virtual_host_proxy_protocol: bool,
    /// Limits and timeouts.
    pub limits: Limits,
    /// When targets are left out, and how they come back.
    pub outliers: OutlierRules,
    /// Clients that may ask with `Vamp-Debug: 1` who served them.
    pub debug_sources: Vec<IpNet>,
    /// One JSON line for each request (R44), off by default.
    pub access_log: Option<AccessLog>,
    /// Share of the requests that it gets, in hundredths of a percent; those that failed come on top.
    pub access_log_sample: u16,
    /// Whether the proxy takes part in traces.
    pub trace_context: TraceContext,
    /// Where spans of sampled traces go; `None` for nowhere.
    pub spans: Option<SpanSender>,
    /// Listening sockets taken over from another process. Those that the first table does not need are closed.
    pub sockets: Sockets,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// Bounds of everything a peer can make grow or last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head; more is answered with 431. At least 1 KiB, at most 64 KiB.
    pub head_bytes: usize,
    /// Bytes of a request target; more is answered with 414.
    pub target_bytes: usize,
    /// Field lines of a head, at most 128.
    pub fields: usize,
    /// Open client connections of one listener.
    pub connections: usize,
    /// Time from the first byte of a head (or from the connection) to its end; then 408.
    pub head_timeout: Duration,
    /// Time a connection may wait for its next request.
    pub keep_alive_timeout: Duration,
    /// Time to connect to a target.
    pub connect_timeout: Duration,
    /// Time without any progress of a body, or until a response begins; then 408 or 504.
    pub inactivity_timeout: Duration,
    /// Time without any byte in either direction of an upgraded or tcp connection, and without an event in a stream of events.
    pub tunnel_timeout: Duration,
    /// Retries of a request.
    pub retries: u8,
    /// Time in which the last attempt of a request must begin.
    pub attempts_timeout: Duration,
    /// Requests, or tcp connections, that a target of a route may have at a time; 0 for no limit.
    pub target_requests: u32,
    /// How many more may wait for one of them to end; those beyond are refused at once.
    pub target_pending: u32,
    /// How long they wait.
    pub pending_timeout: Duration,
    /// Idle connections kept for each target address by each worker.
    pub pool_size: usize,
    /// How long they are kept.
    pub pool_idle_timeout: Duration,
    /// Gateways in a row that one request may pass.
    pub hops: u32,
    /// Time between two connect checks of a target.
    pub health_interval: Duration,
    /// Time between two look-ups of a host name.
    pub refresh_interval: Duration,
    /// Time between two attempts to listen on a port that was taken.
    pub bind_interval: Duration,
    /// Time between two looks at the files of certificates.
    pub certificate_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 32 * 1024,
            target_bytes: 8 * 1024,
            fields: 100,
            connections: 50_000,
            head_timeout: Duration::from_secs(5),
            keep_alive_timeout: Duration::from_secs(50),
            connect_timeout: Duration::from_secs(5),
            inactivity_timeout: Duration::from_secs(50),
            tunnel_timeout: Duration::from_secs(3600),
            retries: 3,
            attempts_timeout: Duration::from_secs(15),
            target_requests: 0,
            target_pending: 1_000,
            pending_timeout: Duration::from_secs(5),
            pool_size: 256,
            pool_idle_timeout: Duration::from_secs(30),
            hops: 16,
            health_interval: Duration::from_secs(2),
            refresh_interval: Duration::from_secs(10),
            bind_interval: Duration::from_secs(1),
            certificate_interval: Duration::from_secs(2),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            virtual_host_listen: None,
            virtual_host_tls_listen: None,
            virtual_host_proxy_protocol: false,
            limits: Limits::default(),
            outliers: OutlierRules::default(),
            debug_sources: loopback(),
            access_log: None,
            access_log_sample: 10_000,
            trace_context: TraceContext::default(),
            spans: None,
            sockets: Sockets::default(),
        }
    }
}

/// 127.0.0.0/8 and ::1.
fn loopback() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"].iter().filter_map(|net| net.parse().ok()).collect()
}
