//! Wire forms as schemas for the OpenAPI description. Never constructed: what is sent is written by [`model`], and a test holds
//! real answers against these schemas.
#![expect(dead_code, reason = "schemas only")]

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The body of every 4xx and 5xx answer.
#[derive(ToSchema)]
pub(crate) struct Error {
    /// What is wrong and what to do, for people. Never empty.
    #[schema(example = "Total route weight must be either 0% or 100%: shop.")]
    message: String,
    /// Stable class of the error, for programs.
    #[schema(example = "weight")]
    code: String,
    /// Everything that is wrong with a document.
    problems: Vec<ErrorProblem>,
}

/// One thing that is wrong with a document.
#[derive(ToSchema)]
pub(crate) struct ErrorProblem {
    /// Stable class.
    code: String,
    /// For people.
    message: String,
    /// Path in the document.
    path: Option<String>,
    /// Place in the text.
    position: Option<ErrorPosition>,
    /// A corrected example.
    example: Option<String>,
}

/// A place in a text, from 1.
#[derive(ToSchema)]
pub(crate) struct ErrorPosition {
    /// Line.
    line: u64,
    /// Column in characters.
    column: u64,
}

/// A gateway document as a client sends it. Short forms are accepted; whatever a read shows may be sent back unchanged.
#[derive(ToSchema)]
pub(crate) struct GatewayInput {
    /// One to four segments joined by `/`.
    #[schema(example = "shop")]
    name: String,
    /// `gateways` or `gateway`.
    kind: Option<String>,
    /// Free form, returned untouched.
    metadata: Option<BTreeMap<String, Value>>,
    /// `N`, `N/http` or `N/tcp`; missing or 0: one is assigned.
    port: Option<Value>,
    /// Makes routes automatic: one for each group of instances that it finds.
    #[schema(example = "label(app)(shop) && label(version)((.*))")]
    selector: Option<String>,
    /// Routes by path; also a list of paths.
    routes: Option<Value>,
    /// `route`, `instance` or `none`.
    sticky: Option<String>,
    /// What the targets speak: `http1` or `http2`; left out: what their ports say.
    target_protocol: Option<String>,
    /// Host names.
    virtual_hosts: Option<Value>,
    /// TLS to clients. The fields of a certificate may stand here in place of `certificates`.
    tls: Option<Tls>,
    /// TLS to targets; an empty map asks for it as well.
    target_tls: Option<TargetTls>,
    /// How targets are looked after, where that is not left to the proxy.
    target_care: Option<TargetCare>,
    /// Connections to the port begin with a header of the PROXY protocol.
    proxy_protocol: Option<bool>,
}

/// How targets are looked after. What is left out is said by the settings of the proxy.
#[derive(ToSchema)]
pub(crate) struct TargetCare {
    /// Failed requests in a row after which a target is left out for a while; 0 for never. Not for tcp.
    #[schema(example = 5)]
    eject_after: Option<u32>,
    /// How long it is left out the first time, up to 24h. Not for tcp.
    #[schema(example = "30s")]
    ejection_time: Option<String>,
    /// Share of a route's targets that may be left out at a time. Not for tcp.
    #[schema(example = "50%")]
    most_ejected: Option<String>,
    /// Time in which a target that is new, or back, comes to its full part; 0s for at once.
    #[schema(example = "30s")]
    slow_start: Option<String>,
    /// Requests, or tcp connections, that a proxy sends to a target at a time; 0 for no limit.
    #[schema(example = 100)]
    requests: Option<u32>,
    /// How many more wait for one of them to end.
    #[schema(example = 1000)]
    pending: Option<u32>,
}

/// How targets are checked that are reached with TLS.
#[derive(ToSchema)]
pub(crate) struct TargetTls {
    /// File with the certificates of authorities, PEM; those of the system without.
    #[schema(example = "/etc/vamp/ca.crt")]
    ca_file: Option<String>,
    /// Name of a Secret that holds them as `ca.crt`, in the namespace of the environment, in place of a file.
    #[schema(example = "shop-ca")]
    ca_secret: Option<String>,
    /// Name of a ConfigMap that holds them as `ca.crt`, in the namespace of the environment, in place of a file.
    #[schema(example = "shop-ca")]
    ca_config_map: Option<String>,
    /// The name that certificates must be for; that of the address without.
    server_name: Option<String>,
    /// Takes every certificate.
    insecure_skip_verification: Option<bool>,
}

/// The certificates that a gateway shows to clients.
#[derive(ToSchema)]
pub(crate) struct Tls {
    /// Which of them a client sees follows from the name that it asks for; the first is for all other names.
    certificates: Vec<CertificateSource>,
    /// `1.2` or `1.3`; older versions are refused.
    #[schema(example = "1.2")]
    minimum_version: Option<String>,
    /// Answer requests without TLS to the virtual hosts with a redirect to https.
    redirect: Option<bool>,
}

/// Where a certificate and its key are: in two files, or in a Secret.
#[derive(ToSchema)]
pub(crate) struct CertificateSource {
    /// Path of the certificate, PEM, followed by those between it and the authority.
    #[schema(example = "/etc/vamp/shop.crt")]
    certificate: Option<String>,
    /// Path of the private key, PEM.
    #[schema(example = "/etc/vamp/shop.key")]
    key: Option<String>,
    /// Name of a Secret of type `kubernetes.io/tls` in the namespace of the environment.
    secret: Option<String>,
}

/// A gateway as every read shows it: what was declared and what is live, merged.
#[derive(ToSchema)]
pub(crate) struct Gateway {
    /// Identity.
    name: String,
    /// Always `gateways`.
    kind: String,
    /// Free form.
    metadata: BTreeMap<String, Value>,
    /// Stable, opaque id.
    lookup_name: String,
    /// True for the gateways of deployments.
    internal: bool,
    /// Where clients reach it.
    service: Service,
    /// True while the data plane serves it.
    deployed: bool,
    /// Port as given, or as assigned.
    #[schema(example = "9070/http")]
    port: String,
    /// `route`, `instance` or null.
    #[schema(required = true)]
    sticky: Option<String>,
    /// Virtual hosts in force.
    virtual_hosts: Vec<String>,
    /// Selector as written.
    #[schema(required = true)]
    selector: Option<String>,
    /// Routes by path, in order.
    routes: BTreeMap<String, Route>,
    /// TLS to clients; only where it is declared.
    tls: Option<Tls>,
    /// TLS to targets; only where it is declared.
    target_tls: Option<TargetTls>,
    /// How targets are looked after; only where it is declared.
    target_care: Option<TargetCare>,
    /// True where connections to the port begin with a header of the PROXY protocol.
    proxy_protocol: Option<bool>,
    /// What the targets speak, when that was said: `http1` or `http2`.
    target_protocol: Option<String>,
}

/// Address of a gateway.
#[derive(ToSchema)]
pub(crate) struct Service {
    /// Host name or address.
    host: String,
    /// Port with protocol.
    #[schema(example = "9070/http")]
    port: String,
}

/// A route of a gateway.
#[derive(ToSchema)]
pub(crate) struct Route {
    /// Free form; `title` is for people.
    metadata: BTreeMap<String, Value>,
    /// Stable, opaque id.
    lookup_name: String,
    /// Selector as written.
    #[schema(required = true)]
    selector: Option<String>,
    /// Configured share of traffic.
    #[schema(example = "80%")]
    weight: String,
    /// Choice of targets.
    balance: String,
    /// Which requests it takes first.
    #[schema(required = true)]
    condition: Option<Condition>,
    /// Share of the matching requests.
    condition_strength: String,
    /// Rewrites in order.
    rewrites: Vec<Rewrite>,
    /// Targets.
    targets: Vec<Target>,
}

/// A condition of a route.
#[derive(ToSchema)]
pub(crate) struct Condition {
    /// Text of the condition.
    #[schema(example = "User-Agent == Firefox")]
    condition: Option<String>,
    /// Name of a stored condition.
    reference: Option<String>,
}

/// A rewrite of a route.
#[derive(ToSchema)]
pub(crate) struct Rewrite {
    /// `NEW if CONDITION`.
    path: Option<String>,
    /// Name of a stored rewrite.
    reference: Option<String>,
}

/// A target: an address, or another gateway.
#[derive(ToSchema)]
pub(crate) struct Target {
    /// `ip:port`.
    url: Option<String>,
    /// Name of the gateway.
    name: Option<String>,
    /// Its host.
    host: Option<String>,
    /// Its port.
    port: Option<u16>,
}

/// What a DELETE answers.
#[derive(ToSchema)]
pub(crate) struct Deletion {
    /// Name of what was to be deleted.
    name: String,
    /// Kind, plural.
    kind: String,
    /// False when there was nothing to delete.
    deleted: bool,
}

/// A stored condition, rewrite or route.
#[derive(ToSchema)]
pub(crate) struct Artifact {
    /// Identity within its kind.
    name: String,
    /// Kind, plural.
    kind: String,
    /// Free form.
    metadata: BTreeMap<String, Value>,
}

/// A stored event.
#[derive(ToSchema)]
pub(crate) struct Event {
    /// Unique, grows with time.
    id: String,
    /// Version of the event format.
    version: String,
    /// Tags; for each one with a colon also the part before it.
    tags: Vec<String>,
    /// Any value.
    value: Option<Value>,
    /// When it happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Type.
    #[schema(example = "event")]
    r#type: String,
    /// Who caused it.
    actor: Option<String>,
    /// Revision that the change behind it made.
    revision: Option<u64>,
}

/// An event to publish.
#[derive(ToSchema)]
pub(crate) struct EventInput {
    /// One tag or several.
    tags: Value,
    /// Any value.
    value: Option<Value>,
    /// `event` unless given.
    r#type: Option<String>,
    /// Now unless given.
    #[schema(format = DateTime)]
    timestamp: Option<String>,
    /// Version of the event format.
    version: Option<String>,
}

/// Which events are asked for.
#[derive(ToSchema)]
pub(crate) struct EventQuery {
    /// Tags that must all be present.
    tags: Vec<String>,
    /// Exact type.
    r#type: Option<String>,
    /// `lt`, `lte`, `gt`, `gte`: ISO times, or `now-10m`.
    timestamp: Option<BTreeMap<String, String>>,
    /// Compute a number instead: `{type: count|average|min|max|sum, field}`.
    aggregator: Option<EventAggregator>,
}

/// A computation over events.
#[derive(ToSchema)]
pub(crate) struct EventAggregator {
    /// `count`, `average`, `min`, `max` or `sum`.
    r#type: String,
    /// `value` unless given.
    field: Option<String>,
}

/// Result of an aggregation.
#[derive(ToSchema)]
pub(crate) struct Aggregate {
    /// Null when there is no numeric value.
    #[schema(required = true)]
    value: Option<f64>,
}

/// Asks to evict sticky clients.
#[derive(ToSchema)]
pub(crate) struct EvictionInput {
    /// Name of the gateway.
    #[schema(example = "shop")]
    gateway: String,
}

/// Asks which route a request would take.
#[derive(ToSchema)]
pub(crate) struct RouteTestInput {
    /// Name of the gateway.
    #[schema(example = "shop")]
    gateway: String,
    /// `GET` unless given.
    method: Option<String>,
    /// Path and query, `/` unless given.
    #[schema(example = "/products?page=2")]
    path: Option<String>,
    /// Host; also taken from the headers.
    host: Option<String>,
    /// A map, or a list of `[name, value]` pairs.
    headers: Option<Value>,
    /// Client address, `127.0.0.1` unless given.
    source: Option<String>,
}

/// Asks which of the last requests a condition would take.
#[derive(ToSchema)]
pub(crate) struct ConditionTestInput {
    /// Name of the gateway.
    #[schema(example = "shop")]
    gateway: String,
    /// Text of the condition.
    #[schema(example = "Header Accept Contains v2")]
    condition: String,
}

/// Parameters of every write.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WriteParameters {
    /// Full validation and computation, nothing stored, no event.
    validate_only: Option<bool>,
    /// `applied`: answer when every live proxy serves the change; headers `Vamp-Applied` and `Vamp-Applied-Ms` say how that went.
    wait: Option<String>,
    /// Longest time to wait, with a unit; 5 s unless given, at most 60 s. After it: 504 with the proxies that did not answer; the
    /// change stays.
    #[param(example = "5s")]
    timeout: Option<String>,
}

/// Headers of every write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct WriteHeaders {
    /// Only change what still has this `ETag`, else 412.
    #[param(rename = "If-Match")]
    if_match: Option<String>,
    /// Who is making the change, for the audit trail.
    #[param(rename = "Vamp-Actor")]
    vamp_actor: Option<String>,
    /// Why, for the audit trail.
    #[param(rename = "Vamp-Reason")]
    vamp_reason: Option<String>,
}

/// Parameters of every list. A page past the end is an empty list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// From 1.
    page: Option<u64>,
    /// 1 to 30, 30 unless given.
    per_page: Option<u64>,
}

/// Parameters that select events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParameters {
    /// Tags that must all be present; repeat the parameter for several.
    tag: Option<Vec<String>>,
    /// Exact type.
    r#type: Option<String>,
    /// JSON object with `lt`, `lte`, `gt`, `gte`: ISO times, or `now-12m`.
    timestamp: Option<String>,
}

/// How a revision was taken by the proxies.
#[derive(ToSchema)]
pub(crate) struct Receipt {
    /// The revision.
    revision: u64,
    /// Proxies that serve it.
    applied: u64,
    /// Proxies that were alive.
    total: u64,
    /// True when all of them serve it.
    complete: bool,
    /// How long the last one took.
    #[schema(required = true)]
    ms: Option<f64>,
    /// Each of them.
    proxies: Vec<ProxyReceipt>,
}

/// One proxy of a receipt.
#[derive(ToSchema)]
pub(crate) struct ProxyReceipt {
    /// Name.
    name: String,
    /// How long it took; null while it has not confirmed.
    #[schema(required = true)]
    ms: Option<f64>,
}

/// Which route a request takes, and why.
#[derive(ToSchema)]
pub(crate) struct RouteTest {
    /// Revision of the table that was asked.
    revision: u64,
    /// The gateway.
    gateway: String,
    /// The route; null when nothing can serve.
    #[schema(required = true)]
    route: Option<String>,
    /// The target.
    #[schema(required = true)]
    target: Option<RouteTestTarget>,
    /// `condition`, `weight`, `sticky`, `rerouted` or `no_target`.
    reason: String,
    /// The condition that holds first, whether its route was taken or not.
    #[schema(required = true)]
    matched_condition: Option<MatchedCondition>,
    /// All conditions of the gateway, in order.
    conditions: Vec<MatchedCondition>,
    /// Path and query as the target sees them, when a rewrite changes them.
    #[schema(required = true)]
    rewritten: Option<String>,
    /// Share of each route, if this request came again and again without cookies.
    shares: BTreeMap<String, String>,
}

/// A target of a route test.
#[derive(ToSchema)]
pub(crate) struct RouteTestTarget {
    /// Stable id.
    id: String,
    /// For people.
    name: String,
    /// `host:port`.
    address: String,
}

/// A condition of a route test.
#[derive(ToSchema)]
pub(crate) struct MatchedCondition {
    /// Its route.
    route: String,
    /// Its text.
    condition: String,
    /// Its strength.
    strength: String,
    /// True when the request satisfies it.
    holds: bool,
}

/// One gateway, or one for each document that was sent.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Gateways {
    /// For one document.
    One(Box<Gateway>),
    /// For several, in order.
    Many(Vec<Gateway>),
}

/// One artifact, or one for each document that was sent.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Artifacts {
    /// For one document.
    One(Artifact),
    /// For several, in order.
    Many(Vec<Artifact>),
}

/// Events, or a number computed from them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum EventAnswer {
    /// A page of them.
    Events(Vec<Event>),
    /// When an aggregation is asked for.
    Aggregate(Aggregate),
}
