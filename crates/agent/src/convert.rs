//! Between what is counted and what travels. Nothing that comes from outside is taken at its word.

use std::net::SocketAddr;
use std::time::Duration;

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use routing::decide::Reason;
use telemetry::{Delta, Key, Open, Phase, PhaseGrowth, Totals, error_word};

use crate::{Budget, Incident, TargetState, TriedRequest, proto};

const REASONS: [Reason; 5] =
    [Reason::Condition, Reason::Weight, Reason::Sticky, Reason::Rerouted, Reason::NoTarget];
const CLASSES: usize = 6;
/// Longest id or name of a target.
const LONGEST: usize = 512;
/// More than this was never counted between two reports; more would spoil the sums of all.
const MOST_COUNTED: u64 = 1 << 48;
const MOST_NANOS: u64 = 1 << 60;
const MOST_OPEN: u64 = 1 << 32;

pub(crate) fn series(delta: &Delta) -> proto::Series {
    let (gateway, route, instance) = match &delta.key {
        Key::Gateway(gateway) => (gateway.to_string(), String::new(), String::new()),
        Key::Route(gateway, route) => (gateway.to_string(), route.to_string(), String::new()),
        Key::Instance(gateway, route, id) => (gateway.to_string(), route.to_string(), id.clone()),
    };
    let counted = &delta.counted;
    let requests =
        (0..CLASSES).flat_map(|class| REASONS.map(|reason| (class, reason))).filter_map(|(class, reason)| {
            let count = counted.by(class, reason);
            (count > 0).then(|| proto::Requests {
                class: class as u32,
                reason: reason.as_str().into(),
                count,
            })
        });
    let error =
        |(word, count): &(&'static str, u64)| proto::Error { word: (*word).to_owned(), count: *count };
    proto::Series {
        name: if instance.is_empty() { String::new() } else { delta.name.clone() },
        gateway,
        route,
        instance,
        tcp: delta.protocol == Protocol::Tcp,
        requests: requests.collect(),
        failed: counted.failed,
        received: counted.received,
        sent: counted.sent,
        retries: counted.retries,
        total_nanos: counted.total_nanos,
        first_byte_nanos: counted.first_byte_nanos,
        first_bytes: counted.first_bytes,
        connections_opened: counted.connections_opened,
        errors: counted.errors.iter().map(error).collect(),
        latency_steps: delta.latencies.iter().map(|(step, _)| u32::from(*step)).collect(),
        latency_counts: delta.latencies.iter().map(|(_, count)| *count).collect(),
        in_flight: delta.open.in_flight,
        connections: delta.open.connections,
        phases: delta.phases.iter().map(phase).collect(),
    }
}

fn phase(growth: &PhaseGrowth) -> proto::Phase {
    proto::Phase {
        word: growth.phase.as_str().into(),
        steps: growth.steps.iter().map(|(step, _)| u32::from(*step)).collect(),
        counts: growth.steps.iter().map(|(_, count)| *count).collect(),
        nanos: growth.nanos,
    }
}

/// # Errors
/// What makes no sense, for the log.
pub(crate) fn delta(series: proto::Series) -> Result<Delta, String> {
    let gateway = GatewayName::parse(&series.gateway)?;
    let route = || RoutePath::parse(&series.route);
    if series.instance.len() > LONGEST || series.name.len() > LONGEST {
        return Err(format!("the name of an instance of '{gateway}' is longer than {LONGEST} bytes"));
    }
    let (key, name) = match (series.route.is_empty(), series.instance.is_empty()) {
        (true, _) => (Key::Gateway(gateway), series.gateway.clone()),
        (false, true) => (Key::Route(gateway, route()?), series.route.clone()),
        (false, false) => (Key::Instance(gateway, route()?, series.instance), series.name),
    };
    let counts = [
        series.failed,
        series.received,
        series.sent,
        series.retries,
        series.first_bytes,
        series.connections_opened,
    ];
    let counts = counts.into_iter().chain(series.requests.iter().map(|requests| requests.count));
    let counts = counts
        .chain(series.errors.iter().map(|error| error.count))
        .chain(series.latency_counts.iter().copied())
        .chain(series.phases.iter().flat_map(|phase| phase.counts.iter().copied()));
    let nanos = series.phases.iter().map(|phase| phase.nanos);
    if counts.max() > Some(MOST_COUNTED)
        || nanos.chain([series.total_nanos, series.first_byte_nanos]).max() > Some(MOST_NANOS)
        || series.in_flight.max(series.connections) > MOST_OPEN
    {
        return Err(format!("the counts of '{}' cannot be true", series.gateway));
    }
    let mut counted = Totals::default();
    counted.failed = series.failed;
    counted.received = series.received;
    counted.sent = series.sent;
    counted.retries = series.retries;
    counted.total_nanos = series.total_nanos;
    counted.first_byte_nanos = series.first_byte_nanos;
    counted.first_bytes = series.first_bytes;
    counted.connections_opened = series.connections_opened;
    for requests in series.requests {
        let reason = REASONS.into_iter().find(|reason| reason.as_str() == requests.reason);
        let reason = reason.ok_or_else(|| format!("'{}' is no reason", requests.reason))?;
        let class = usize::try_from(requests.class).ok().filter(|class| *class < CLASSES);
        let class = class.ok_or_else(|| format!("{} is no status class", requests.class))?;
        counted.add_requests(class, reason, requests.count);
    }
    counted.errors = series.errors.iter().map(|error| (error_word(&error.word), error.count)).collect();
    let latencies = steps(&series.latency_steps, &series.latency_counts)?;
    let mut phases: Vec<PhaseGrowth> = Vec::new();
    for growth in series.phases {
        // A later version may have more of them; each is there once.
        let phase = Phase::ALL.into_iter().find(|phase| phase.as_str() == growth.word);
        let Some(phase) = phase.filter(|phase| phases.iter().all(|known| known.phase != *phase)) else {
            continue;
        };
        phases.push(PhaseGrowth { phase, steps: steps(&growth.steps, &growth.counts)?, nanos: growth.nanos });
    }
    Ok(Delta {
        key,
        name,
        protocol: if series.tcp { Protocol::Tcp } else { Protocol::Http },
        counted,
        latencies,
        phases,
        open: Open { in_flight: series.in_flight, connections: series.connections },
    })
}

fn steps(steps: &[u32], counts: &[u64]) -> Result<Vec<(u16, u64)>, String> {
    let step = |step: u32| u16::try_from(step).map_err(|_| format!("{step} is no step of a histogram"));
    steps.iter().zip(counts).map(|(at, count)| Ok((step(*at)?, *count))).collect()
}

pub(crate) fn target(target: TargetState) -> proto::Target {
    proto::Target {
        gateway: target.gateway.to_string(),
        route: target.route.to_string(),
        id: target.id,
        name: target.name,
        address: target.address.to_string(),
        up: target.up,
        in_flight: target.in_flight,
        pending: target.pending,
        ejected: target.ejected,
        ejections: target.ejections,
    }
}

/// # Errors
/// What makes no sense, for the log.
pub(crate) fn target_state(target: proto::Target) -> Result<TargetState, String> {
    if target.id.len() > LONGEST || target.name.len() > LONGEST {
        return Err(format!("the name of a target of '{}' is longer than {LONGEST} bytes", target.gateway));
    }
    Ok(TargetState {
        gateway: GatewayName::parse(&target.gateway)?,
        route: RoutePath::parse(&target.route)?,
        address: target
            .address
            .parse::<SocketAddr>()
            .map_err(|_| format!("'{}' is no address of a target", target.address))?,
        id: target.id,
        name: target.name,
        up: target.up,
        in_flight: target.in_flight,
        pending: target.pending,
        ejected: target.ejected,
        ejections: target.ejections.min(MOST_COUNTED),
    })
}

pub(crate) fn incident(incident: Incident) -> proto::Incident {
    proto::Incident {
        gateway: incident.gateway.to_string(),
        route: incident.route.to_string(),
        id: incident.id,
        name: incident.name,
        ejected: incident.ejected,
    }
}

/// Incidents; one whose names make no sense is left out.
pub(crate) fn incidents(incidents: Vec<proto::Incident>) -> Vec<Incident> {
    let incident = |incident: proto::Incident| {
        (incident.id.len() <= LONGEST && incident.name.len() <= LONGEST).then_some(())?;
        Some(Incident {
            gateway: GatewayName::parse(&incident.gateway).ok()?,
            route: RoutePath::parse(&incident.route).ok()?,
            id: incident.id,
            name: incident.name,
            ejected: incident.ejected,
        })
    };
    incidents.into_iter().filter_map(incident).collect()
}

pub(crate) fn budget(budget: Budget) -> proto::Budget {
    proto::Budget {
        gateway: budget.gateway.to_string(),
        retries_left: budget.retries_left,
        retries_refused: budget.retries_refused,
    }
}

/// Budgets; one whose gateway makes no sense is left out.
pub(crate) fn budgets(budgets: Vec<proto::Budget>) -> Vec<Budget> {
    let budget = |budget: proto::Budget| {
        Some(Budget {
            gateway: GatewayName::parse(&budget.gateway).ok()?,
            retries_left: budget.retries_left.min(MOST_COUNTED),
            retries_refused: budget.retries_refused.min(MOST_COUNTED),
        })
    };
    budgets.into_iter().filter_map(budget).collect()
}

pub(crate) fn tried_request(request: TriedRequest) -> proto::TriedRequest {
    proto::TriedRequest {
        method: request.method,
        path: request.path,
        matches: request.matches,
        age_ms: u64::try_from(request.age.as_millis()).unwrap_or(u64::MAX),
    }
}

/// What an agent tells of its last requests, at most `most` of them; `None` when it cannot tell.
///
/// # Errors
/// What makes no sense, for the log.
pub(crate) fn tried(tried: proto::Tried, most: usize) -> Result<Option<Vec<TriedRequest>>, String> {
    if tried.requests.len() > most {
        return Err(format!("it tells of {} requests, not of {most}", tried.requests.len()));
    }
    let request = |request: proto::TriedRequest| {
        if request.method.len() > LONGEST || request.path.len() > LONGEST {
            return Err(format!("a request is told in more than {LONGEST} bytes"));
        }
        Ok(TriedRequest {
            method: request.method,
            path: request.path,
            matches: request.matches,
            age: Duration::from_millis(request.age_ms),
        })
    };
    let requests = tried.requests.into_iter().map(request).collect::<Result<_, String>>()?;
    Ok(tried.known.then_some(requests))
}

/// Gateways and what is wrong with them; one whose name makes no sense is left out.
pub(crate) fn problems(problems: Vec<proto::Problem>) -> Vec<(GatewayName, String)> {
    let problem =
        |problem: proto::Problem| Some((GatewayName::parse(&problem.gateway).ok()?, problem.problem));
    problems.into_iter().filter_map(problem).collect()
}
