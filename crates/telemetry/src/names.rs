//! Every metric of the Prometheus page, in one place: names and labels are an interface that dashboards and alerts rely on.
//!
//! Base units (seconds, bytes), `_total` for counters. Label values come from bounded sets: names of artifacts and instances, status
//! classes, reasons, error words. No label is called `instance` or `job`: Prometheus sets those itself.

/// What kind of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until a restart.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative counts by upper limit, with sum and count.
    Histogram,
    /// Sum and count.
    Summary,
}

impl Kind {
    /// The word on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// Label of everything that belongs to one environment; the last one on the page.
pub const ENVIRONMENT: &str = "environment";

/// What a metric is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One environment; its lines carry the label [`ENVIRONMENT`].
    Environment,
    /// The whole process.
    Process,
}

/// One metric with all its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// Kind.
    pub kind: Kind,
    /// What it is about.
    pub scope: Scope,
    /// Names of its own labels, in the order of the page (histograms add `le`).
    pub labels: &'static [&'static str],
    /// What it says, for people.
    pub help: &'static str,
}

macro_rules! families {
    ($($id:ident $kind:ident $scope:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $id: Family =
            Family { name: $name, kind: Kind::$kind, scope: Scope::$scope, labels: &[$($label),*], help: $help };)*
        /// All of them, in the order of the page.
        pub const ALL: &[Family] = &[$($id),*];
    };
}

families! {
    BUILD_INFO Gauge Process "vamp_build_info" ["version"]
        "Always 1; the label says which Vamp this is.";
    CONFIG_REVISION Gauge Environment "vamp_config_revision" []
        "Revision of the environment that is published to the proxies.";
    PROXY_REVISION Gauge Environment "vamp_proxy_revision" ["proxy"]
        "Revision that a proxy serves.";
    ROUTE_WEIGHT Gauge Environment "vamp_route_weight" ["gateway", "route", "kind"]
        "Share of traffic of a route in percent. kind=desired: as configured; kind=observed: of the gateway's routed requests of the last minute.";
    REQUESTS Counter Environment "vamp_requests_total" ["gateway", "route", "code_class", "reason"]
        "Requests by route, status class and why the route was chosen. An empty route: no route could take them. tcp gateways count connections that ended, with code_class=none.";
    REQUEST_DURATION Histogram Environment "vamp_request_duration_seconds" ["gateway", "route"]
        "Time from the first byte of a request to the last byte of its response. Limits are exact to 3 %.";
    FIRST_BYTE Summary Environment "vamp_request_first_byte_seconds" ["gateway", "route"]
        "Time from the first byte of a request to the first byte of its response.";
    REQUEST_PHASE Histogram Environment "vamp_request_phase_seconds" ["gateway", "route", "phase"]
        "Time of a part of a request. phase=wait: for room at a target, of those that had to wait; phase=connect: connecting, of those for which no connection was at hand; phase=first_byte: to the first byte of the response.";
    REQUEST_BYTES Counter Environment "vamp_request_bytes_total" ["gateway", "route"]
        "Bytes received from clients.";
    RESPONSE_BYTES Counter Environment "vamp_response_bytes_total" ["gateway", "route"]
        "Bytes sent to clients.";
    RETRIES Counter Environment "vamp_retries_total" ["gateway", "route"]
        "Further attempts after a target failed.";
    RETRY_BUDGET Gauge Environment "vamp_retry_budget" ["gateway"]
        "Retries that a gateway can afford now: a fifth of its requests and ten a second, up to 100 saved. Of the proxy in this process, or of all agents together.";
    RETRIES_REFUSED Counter Environment "vamp_retries_refused_total" ["gateway"]
        "Retries that a gateway could not afford. Of the proxy in this process, or of all agents together.";
    REROUTED Counter Environment "vamp_rerouted_requests_total" ["gateway", "route"]
        "Requests that a route took over from one without ready targets.";
    PROXY_ERRORS Counter Environment "vamp_proxy_errors_total" ["gateway", "error"]
        "Requests that Vamp itself answered with an error, or gave up, by the word of Vamp-Proxy-Error.";
    IN_FLIGHT Gauge Environment "vamp_requests_in_flight" ["gateway"]
        "Requests under way.";
    CONNECTIONS Gauge Environment "vamp_connections" ["gateway", "protocol"]
        "Client connections that are open.";
    CONNECTIONS_OPENED Counter Environment "vamp_connections_opened_total" ["gateway", "protocol"]
        "Client connections that were opened.";
    INSTANCE_REQUESTS Counter Environment "vamp_instance_requests_total" ["gateway", "route", "target", "target_id", "code_class"]
        "Requests by instance and status class.";
    INSTANCE_DURATION Summary Environment "vamp_instance_request_duration_seconds" ["gateway", "route", "target", "target_id"]
        "Total time of the requests of an instance.";
    INSTANCE_UP Gauge Environment "vamp_instance_up" ["gateway", "route", "target", "target_id"]
        "1 while the proxy holds an instance to be reachable, else 0.";
    INSTANCE_IN_FLIGHT Gauge Environment "vamp_instance_requests_in_flight" ["gateway", "route", "target", "target_id"]
        "Requests under way at an instance.";
    INSTANCE_PENDING Gauge Environment "vamp_instance_requests_pending" ["gateway", "route", "target", "target_id"]
        "Requests that wait because an instance has as many as it may.";
    INSTANCE_EJECTED Gauge Environment "vamp_instance_ejected" ["gateway", "route", "target", "target_id"]
        "1 while the proxy leaves an instance out because it answers badly, else 0.";
    INSTANCE_EJECTIONS Counter Environment "vamp_instance_ejections_total" ["gateway", "route", "target", "target_id"]
        "How often the proxy left an instance out.";
    IDLE_CONNECTIONS Gauge Process "vamp_target_connections_idle" []
        "Connections to targets that are open and idle, ready for the next request. Only with a proxy in this process.";
    ACCESS_LOG_LOST Counter Process "vamp_access_log_lost_lines_total" []
        "Lines of the access log that were not written, because the disk did not keep up or refused them. Only with an access log.";
    SPANS_DROPPED Counter Process "vamp_spans_dropped_total" []
        "Spans that were not exported, because the collector did not keep up or refused them. Only with an exporter.";
    CERTIFICATE_EXPIRY Gauge Environment "vamp_certificate_expiry_timestamp_seconds" ["gateway", "certificate"]
        "When a certificate of a gateway ends, in seconds since 1970. The certificate is named by its file or Secret.";
    TLS_HANDSHAKES Counter Process "vamp_tls_handshakes_total" ["result"]
        "TLS handshakes of clients: done; or what was in the way: closed, timeout, not_tls, no_certificate, refused. Only where some gateway has TLS.";
    PROCESS_CPU Counter Process "process_cpu_seconds_total" []
        "Processor time of this process, user and system.";
    PROCESS_RESIDENT Gauge Process "process_resident_memory_bytes" []
        "Resident memory of this process.";
    PROCESS_VIRTUAL Gauge Process "process_virtual_memory_bytes" []
        "Virtual memory of this process.";
    PROCESS_THREADS Gauge Process "process_threads" []
        "Threads of this process.";
    PROCESS_START Gauge Process "process_start_time_seconds" []
        "Start of this process, in seconds since 1970.";
    PROCESS_OPEN_FDS Gauge Process "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS Gauge Process "process_max_fds" []
        "Limit of open file descriptors.";
}

#[cfg(test)]
mod reference;
