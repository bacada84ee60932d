//! The Prometheus page: text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::time::Duration;

use model::name::{GatewayName, RoutePath};
use model::percent::Percent;

use crate::counters::Totals;
use crate::names::{self, Family, Scope};
use crate::outcome::REASONS;
use crate::phases::{Phase, PhaseTimes};
use crate::process::Process;
use crate::registry::{Key, SeriesTotals, Telemetry};

/// The media type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the page shows besides what is counted here; whoever asks for the page knows it.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Version of Vamp.
    pub version: String,
    /// Name of the environment; empty where there can be one only.
    pub environment: String,
    /// Revision of the environment.
    pub revision: u64,
    /// Proxies with the revision that each serves.
    pub proxies: Vec<(String, u64)>,
    /// Configured weight of each route.
    pub weights: Vec<(GatewayName, RoutePath, Percent)>,
    /// Targets as the proxy sees them.
    pub targets: Vec<TargetGauge>,
    /// Gateways as the proxy of this process sees them.
    pub gateways: Vec<GatewayGauge>,
    /// Idle connections to targets; `None` without a proxy in this process.
    pub idle_connections: Option<u64>,
    /// Lines of the access log that were lost; `None` without one.
    pub access_log_lost: Option<u64>,
    /// Spans that were dropped; `None` without an exporter.
    pub spans_dropped: Option<u64>,
    /// Certificates of gateways: gateway, source, when it ends in seconds since 1970.
    pub certificates: Vec<(GatewayName, String, i64)>,
    /// TLS handshakes of clients by result.
    pub handshakes: Vec<(&'static str, u64)>,
}

/// One gateway.
#[derive(Debug, Clone)]
pub struct GatewayGauge {
    /// Gateway.
    pub gateway: GatewayName,
    /// Retries that it can afford now.
    pub retries_left: u64,
    /// Retries that it could not afford.
    pub retries_refused: u64,
}

/// One target of a route.
#[derive(Debug, Clone)]
pub struct TargetGauge {
    /// Gateway.
    pub gateway: GatewayName,
    /// Route.
    pub route: RoutePath,
    /// Id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// True while it is held to be reachable.
    pub up: bool,
    /// Requests under way.
    pub in_flight: u64,
    /// Requests that wait for room.
    pub pending: u64,
    /// True while it is left out because it answers badly.
    pub ejected: bool,
    /// How often it was.
    pub ejections: u64,
}

/// Upper limits of the buckets.
pub const LIMITS: [Duration; 14] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// How far back observed weights look, in seconds.
const OBSERVED: u32 = 60;

const CLASS_NAMES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The page of a process with several environments: every family once, and its lines with the label `environment`. Families of which
/// there is nothing to say are left out.
pub fn page(version: &str, environments: &[(&Telemetry, &Gauges)]) -> String {
    let parts: Vec<Part<'_>> =
        environments.iter().map(|(telemetry, gauges)| Part::new(telemetry, gauges)).collect();
    let mut page = Page { text: String::new(), parts: &parts };
    page.about(version);
    page.weights();
    page.requests();
    page.durations();
    page.phases();
    page.routes();
    page.budgets();
    page.gateways();
    page.instances();
    page.targets();
    page.proxy();
    page.tls();
    page.process(Process::read(), parts.iter().find_map(|part| part.gauges.access_log_lost));
    page.text
}

/// One environment.
struct Part<'a> {
    telemetry: &'a Telemetry,
    gauges: &'a Gauges,
    all: Vec<SeriesTotals>,
}

impl<'a> Part<'a> {
    fn new(telemetry: &'a Telemetry, gauges: &'a Gauges) -> Self {
        Self { telemetry, gauges, all: telemetry.totals() }
    }
}

impl Telemetry {
    /// The page of a process with this environment only.
    pub fn prometheus(&self, gauges: &Gauges) -> String {
        page(&gauges.version, &[(self, gauges)])
    }

    /// Share of each route in percent, for gateways with traffic.
    fn observed(&self, all: &[SeriesTotals]) -> Vec<(GatewayName, RoutePath, f64)> {
        let requests: Vec<(&GatewayName, &RoutePath, u64)> = all
            .iter()
            .filter_map(|series| {
                let Key::Route(gateway, route) = &series.key else { return None };
                Some((gateway, route, self.window(&series.key, OBSERVED)?.requests))
            })
            .collect();
        let mut sums: BTreeMap<&GatewayName, u64> = BTreeMap::new();
        for (gateway, _, count) in &requests {
            *sums.entry(gateway).or_default() += count;
        }
        let share = |(gateway, route, count): (&GatewayName, &RoutePath, u64)| {
            let sum = sums.get(gateway).copied().filter(|sum| *sum > 0)?;
            Some((gateway.clone(), route.clone(), (count as f64 * 1e4 / sum as f64).round() / 1e2))
        };
        requests.into_iter().filter_map(share).collect()
    }
}

/// A family whose value is read off a row.
type Column<T> = (&'static Family, fn(&T) -> u64);

struct Page<'a> {
    text: String,
    parts: &'a [Part<'a>],
}

impl Page<'_> {
    /// Writes a family, with its head when there is at least one sample.
    fn family(&mut self, family: &Family, fill: impl FnOnce(&mut Samples<'_>)) {
        let start = self.text.len();
        let (name, kind) = (family.name, family.kind.as_str());
        push(&mut self.text, format_args!("# HELP {name} "));
        escape(&mut self.text, family.help, false);
        push(&mut self.text, format_args!("\n# TYPE {name} {kind}\n"));
        let head = self.text.len();
        fill(&mut Samples { text: &mut self.text, family, environment: "" });
        if self.text.len() == head {
            self.text.truncate(start);
        }
    }

    /// Writes a family with the lines of every environment.
    fn each(&mut self, family: &Family, fill: impl Fn(&mut Samples<'_>, &Part<'_>)) {
        let parts = self.parts;
        self.family(family, |samples| {
            for part in parts {
                let Samples { text, family, .. } = samples;
                fill(&mut Samples { text, family, environment: &part.gauges.environment }, part);
            }
        });
    }

    fn about(&mut self, version: &str) {
        self.family(&names::BUILD_INFO, |samples| samples.add(&[version], 1));
        self.each(&names::CONFIG_REVISION, |samples, part| samples.add(&[], part.gauges.revision));
        self.each(&names::PROXY_REVISION, |samples, part| {
            part.gauges.proxies.iter().for_each(|(proxy, revision)| samples.add(&[proxy], revision));
        });
    }

    fn weights(&mut self) {
        self.each(&names::ROUTE_WEIGHT, |samples, part| {
            for (gateway, route, weight) in &part.gauges.weights {
                let percent = f64::from(weight.hundredths()) / 100.0;
                samples.add(&[gateway.as_str(), route.as_str(), "desired"], percent);
            }
            for (gateway, route, percent) in part.telemetry.observed(&part.all) {
                samples.add(&[gateway.as_str(), route.as_str(), "observed"], percent);
            }
        });
    }

    fn requests(&mut self) {
        self.each(&names::REQUESTS, |samples, part| {
            for series in &part.all {
                let (gateway, route) = match &series.key {
                    Key::Gateway(gateway) => (gateway, ""),
                    Key::Route(gateway, route) => (gateway, route.as_str()),
                    Key::Instance(..) => continue,
                };
                for (class, class_name) in CLASS_NAMES.iter().enumerate() {
                    for reason in REASONS {
                        // Of a gateway, only what no route counted; of a route, one line in any case, so that its first request is
                        // seen as an increase.
                        let no_route = reason == routing::decide::Reason::NoTarget;
                        let first = class == 2 && reason == routing::decide::Reason::Weight;
                        let count = series.totals.by(class, reason);
                        let shown = if route.is_empty() { no_route && count > 0 } else { first || count > 0 };
                        if shown {
                            samples.add(&[gateway.as_str(), route, class_name, reason.as_str()], count);
                        }
                    }
                }
            }
        });
    }

    fn durations(&mut self) {
        self.each(&names::REQUEST_DURATION, |samples, part| {
            for (gateway, route, series) in busy_routes(&part.all) {
                let Some(live) = part.telemetry.series(&series.key) else { continue };
                let latencies = live.latencies();
                let labels = [gateway.as_str(), route.as_str()];
                for (limit, count) in LIMITS.iter().zip(latencies.cumulative(&LIMITS)) {
                    samples.bucket(&labels, &limit.as_secs_f64(), count);
                }
                samples.bucket(&labels, &"+Inf", latencies.count());
                samples.sum_and_count(&labels, seconds(series.totals.total_nanos), latencies.count());
            }
        });
        self.each(&names::FIRST_BYTE, |samples, part| {
            for (gateway, route, SeriesTotals { totals, .. }) in busy_routes(&part.all) {
                let labels = [gateway.as_str(), route.as_str()];
                samples.sum_and_count(&labels, seconds(totals.first_byte_nanos), totals.first_bytes);
            }
        });
    }

    fn phases(&mut self) {
        self.each(&names::REQUEST_PHASE, |samples, part| {
            for (gateway, route, series) in busy_routes(&part.all) {
                let Some(live) = part.telemetry.series(&series.key) else { continue };
                for phase in Phase::ALL {
                    let PhaseTimes { times, nanos } = live.phase(phase);
                    if times.count() == 0 {
                        continue;
                    }
                    let labels = [gateway.as_str(), route.as_str(), phase.as_str()];
                    for (limit, count) in LIMITS.iter().zip(times.cumulative(&LIMITS)) {
                        samples.bucket(&labels, &limit.as_secs_f64(), count);
                    }
                    samples.bucket(&labels, &"+Inf", times.count());
                    samples.sum_and_count(&labels, seconds(nanos), times.count());
                }
            }
        });
    }

    fn budgets(&mut self) {
        let values: [Column<GatewayGauge>; 2] = [
            (&names::RETRY_BUDGET, |gateway| gateway.retries_left),
            (&names::RETRIES_REFUSED, |gateway| gateway.retries_refused),
        ];
        for (family, value) in values {
            self.each(family, |samples, part| {
                for gauge in &part.gauges.gateways {
                    samples.add(&[gauge.gateway.as_str()], value(gauge));
                }
            });
        }
    }

    fn routes(&mut self) {
        let counters: [Column<Totals>; 4] = [
            (&names::REQUEST_BYTES, |totals| totals.received),
            (&names::RESPONSE_BYTES, |totals| totals.sent),
            (&names::RETRIES, |totals| totals.retries),
            (&names::REROUTED, |totals| totals.by_reason(routing::decide::Reason::Rerouted)),
        ];
        for (family, count) in counters {
            self.each(family, |samples, part| {
                for (gateway, route, series) in busy_routes(&part.all) {
                    samples.add(&[gateway.as_str(), route.as_str()], count(&series.totals));
                }
            });
        }
    }

    fn gateways(&mut self) {
        self.each(&names::PROXY_ERRORS, |samples, part| {
            for (gateway, series) in gateways(&part.all) {
                let mut errors = series.totals.errors.clone();
                errors.sort_unstable();
                errors.iter().for_each(|(word, count)| samples.add(&[gateway, word], count));
            }
        });
        self.each(&names::IN_FLIGHT, |samples, part| {
            gateways(&part.all)
                .for_each(|(gateway, series)| samples.add(&[gateway], series.totals.in_flight));
        });
        let counters: [Column<Totals>; 2] = [
            (&names::CONNECTIONS, Totals::connections),
            (&names::CONNECTIONS_OPENED, |totals| totals.connections_opened),
        ];
        for (family, count) in counters {
            self.each(family, |samples, part| {
                let used = |(_, series): &(&str, &SeriesTotals)| {
                    series.totals.connections_opened > 0 || count(&series.totals) > 0
                };
                for (gateway, series) in gateways(&part.all).filter(used) {
                    samples.add(&[gateway, &series.protocol.to_string()], count(&series.totals));
                }
            });
        }
    }

    fn instances(&mut self) {
        self.each(&names::INSTANCE_REQUESTS, |samples, part| {
            for ([gateway, route, name, id], totals) in busy_instances(&part.all) {
                for (class, count) in
                    CLASS_NAMES.iter().zip(totals.by_class()).filter(|(_, count)| *count > 0)
                {
                    samples.add(&[gateway, route, name, id, class], count);
                }
            }
        });
        self.each(&names::INSTANCE_DURATION, |samples, part| {
            for (labels, totals) in busy_instances(&part.all) {
                samples.sum_and_count(&labels, seconds(totals.total_nanos), totals.requests());
            }
        });
    }

    fn targets(&mut self) {
        let values: [Column<TargetGauge>; 5] = [
            (&names::INSTANCE_UP, |target| target.up.into()),
            (&names::INSTANCE_IN_FLIGHT, |target| target.in_flight),
            (&names::INSTANCE_PENDING, |target| target.pending),
            (&names::INSTANCE_EJECTED, |target| target.ejected.into()),
            (&names::INSTANCE_EJECTIONS, |target| target.ejections),
        ];
        for (family, value) in values {
            self.each(family, |samples, part| {
                for target in &part.gauges.targets {
                    let TargetGauge { gateway, route, id, name, .. } = target;
                    samples.add(&[gateway.as_str(), route.as_str(), name, id], value(target));
                }
            });
        }
    }

    fn proxy(&mut self) {
        let idle = self.parts.iter().find_map(|part| part.gauges.idle_connections);
        self.family(&names::IDLE_CONNECTIONS, |samples| idle.iter().for_each(|idle| samples.add(&[], idle)));
    }

    fn tls(&mut self) {
        self.each(&names::CERTIFICATE_EXPIRY, |samples, part| {
            for (gateway, certificate, until) in &part.gauges.certificates {
                samples.add(&[gateway.as_str(), certificate], until);
            }
        });
        // Of the process: each of its environments would say the same.
        let handshakes =
            self.parts.iter().map(|part| &part.gauges.handshakes).find(|counts| !counts.is_empty());
        self.family(&names::TLS_HANDSHAKES, |samples| {
            handshakes.into_iter().flatten().for_each(|(result, count)| samples.add(&[result], count));
        });
    }

    fn process(&mut self, process: Process, access_log_lost: Option<u64>) {
        self.family(&names::ACCESS_LOG_LOST, |samples| {
            access_log_lost.iter().for_each(|lost| samples.add(&[], lost));
        });
        let dropped = self.parts.iter().find_map(|part| part.gauges.spans_dropped);
        self.family(&names::SPANS_DROPPED, |samples| {
            dropped.iter().for_each(|dropped| samples.add(&[], dropped));
        });
        for (family, value) in [
            (&names::PROCESS_CPU, process.cpu_seconds),
            (&names::PROCESS_RESIDENT, process.resident_bytes),
            (&names::PROCESS_VIRTUAL, process.virtual_bytes),
            (&names::PROCESS_THREADS, process.threads),
            (&names::PROCESS_START, process.start_seconds),
            (&names::PROCESS_OPEN_FDS, process.open_files),
            (&names::PROCESS_MAX_FDS, process.max_files),
        ] {
            self.family(family, |samples| value.iter().for_each(|value| samples.add(&[], value)));
        }
    }
}

/// The lines of one family.
struct Samples<'a> {
    text: &'a mut String,
    family: &'a Family,
    /// Not shown when empty.
    environment: &'a str,
}

impl Samples<'_> {
    fn add(&mut self, labels: &[&str], value: impl Display) {
        self.line("", labels, None, value);
    }

    fn bucket(&mut self, labels: &[&str], limit: &dyn Display, count: u64) {
        self.line("_bucket", labels, Some(limit), count);
    }

    fn sum_and_count(&mut self, labels: &[&str], sum: f64, count: u64) {
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, count);
    }

    fn line(&mut self, suffix: &str, labels: &[&str], limit: Option<&dyn Display>, value: impl Display) {
        debug_assert_eq!(labels.len(), self.family.labels.len(), "labels of {}", self.family.name);
        let environment = (self.family.scope == Scope::Environment && !self.environment.is_empty())
            .then_some((&names::ENVIRONMENT, &self.environment));
        push(self.text, format_args!("{}{suffix}", self.family.name));
        let mut separator = '{';
        for (name, label) in self.family.labels.iter().zip(labels).chain(environment) {
            push(self.text, format_args!("{separator}{name}=\""));
            escape(self.text, label, true);
            self.text.push('"');
            separator = ',';
        }
        if let Some(limit) = limit {
            push(self.text, format_args!("{separator}le=\"{limit}\""));
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        push(self.text, format_args!(" {value}\n"));
    }
}

fn gateways(all: &[SeriesTotals]) -> impl Iterator<Item = (&str, &SeriesTotals)> {
    all.iter().filter_map(|series| match &series.key {
        Key::Gateway(gateway) => Some((gateway.as_str(), series)),
        _ => None,
    })
}

/// Gateway, route, name and id of instances that ever had traffic.
fn busy_instances(all: &[SeriesTotals]) -> impl Iterator<Item = ([&str; 4], &Totals)> {
    all.iter().filter(|series| series.totals.requests() > 0).filter_map(|series| match &series.key {
        Key::Instance(gateway, route, id) => {
            Some(([gateway.as_str(), route.as_str(), &series.name, id.as_str()], &series.totals))
        }
        _ => None,
    })
}

/// Routes that ever had traffic.
fn busy_routes(all: &[SeriesTotals]) -> impl Iterator<Item = (&GatewayName, &RoutePath, &SeriesTotals)> {
    all.iter().filter_map(|series| match &series.key {
        Key::Route(gateway, route) if series.totals.requests() > 0 || series.totals.received > 0 => {
            Some((gateway, route, series))
        }
        _ => None,
    })
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes everything");
}

fn escape(text: &mut String, value: &str, quotes: bool) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quotes => text.push_str("\\\""),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
