//! `/status`: is everything as it should be, and if not, what is not?

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use control::{Entry, ProxyStatus, View};
use model::gateway::{RouteView, ServiceAddress, Sticky};
use model::name::{GatewayName, RoutePath};
use model::percent::Percent;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::{App, TargetStatus};
use crate::web::reply::{Answer, Reply};

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How everything is doing.
#[derive(Serialize, ToSchema)]
pub(crate) struct Status {
    #[serde(flatten)]
    pub(crate) overall: Overall,
    /// Targets as the proxies see them.
    targets: Vec<TargetStatus>,
    /// The gateways, by name.
    pub(crate) gateways: Vec<GatewaySummary>,
}

/// How everything together is doing.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Overall {
    /// Name of the environment.
    environment: String,
    /// Version of Vamp.
    version: String,
    /// Revision of the environment.
    pub(crate) revision: u64,
    /// True once the first routing table is applied.
    pub(crate) ready: bool,
    /// True when there are no problems.
    pub(crate) healthy: bool,
    /// What is wrong, one sentence each.
    pub(crate) problems: Vec<String>,
    /// What deserves attention but works, one sentence each.
    warnings: Vec<String>,
    /// Where changes are kept.
    store: StoreStatus,
    /// Where instances come from.
    platform: PlatformStatus,
    /// The proxies that take part.
    pub(crate) proxies: Vec<ProxySummary>,
    /// Where virtual hosts are served.
    #[schema(required = true)]
    virtual_hosts: Option<String>,
}

/// Where changes are kept.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct StoreStatus {
    /// `memory`, `sqlite` or `kubernetes`.
    r#type: String,
    /// Why changes cannot be stored at the moment.
    #[schema(required = true)]
    problem: Option<String>,
}

/// Where instances come from.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct PlatformStatus {
    /// `local` or `kubernetes`.
    r#type: String,
    /// False until the first complete read.
    complete: bool,
    /// Why what is shown is only the last known state.
    #[schema(required = true)]
    problem: Option<String>,
    /// Instances that are known.
    instances: usize,
    /// Instances that may get traffic.
    ready: usize,
}

/// A proxy.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProxySummary {
    /// Name.
    name: String,
    /// True while it is connected.
    live: bool,
    /// Revision that it serves.
    #[schema(required = true)]
    revision: Option<u64>,
    /// What it cannot do.
    problems: Vec<ProxyProblem>,
}

/// Something that a proxy cannot do.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProxyProblem {
    /// The gateway that it is about.
    gateway: String,
    /// What, for people.
    problem: String,
}

/// A gateway in short.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct GatewaySummary {
    /// Name.
    name: String,
    /// The ETag without its quotes.
    version: u64,
    /// Port in force.
    port: String,
    /// Where clients reach it, `host:port`.
    address: String,
    /// Host names in force.
    virtual_hosts: Vec<String>,
    /// Selector as written.
    #[schema(required = true)]
    selector: Option<String>,
    /// `route`, `instance` or null.
    #[schema(required = true)]
    sticky: Option<&'static str>,
    /// True while the data plane serves it.
    deployed: bool,
    /// Part of every sticky cookie; rises with every eviction.
    sticky_generation: u32,
    /// What deserves attention.
    warnings: Vec<String>,
    /// True when it is served and one of its routes that should get traffic can.
    healthy: bool,
    /// Number of its routes.
    routes: usize,
    /// Of those: have a target that can serve.
    serving: usize,
    /// Its routes, in order.
    route_states: Vec<RouteSummary>,
}

/// A route in short.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RouteSummary {
    /// Path.
    path: String,
    /// Readable name.
    title: String,
    /// Share of traffic that was asked for.
    weight: String,
    /// Share of traffic in the data plane: absent routes have given theirs away.
    effective_weight: String,
    /// Which requests it takes first.
    #[schema(required = true)]
    condition: Option<String>,
    /// Share of those.
    condition_strength: String,
    /// True while its instances are gone and may come back.
    absent: bool,
    /// Instances behind it.
    instances: usize,
    /// Of those: may get traffic.
    ready: usize,
    /// Addresses that get traffic, unless they are ejected or down.
    targets: usize,
    /// Of those: a proxy leaves them out for a while, because they answer badly where others do not.
    ejected: usize,
    /// Of those: accept no connections.
    down: usize,
    /// True while one of its targets can serve.
    serving: bool,
}

/// A summary for people and pipelines. `healthy` says whether `problems` is empty.
#[utoipa::path(get, path = "/api/v1/status", tag = "operations",
    responses((status = 200, description = "The summary, also when something is wrong.", body = Status)))]
pub(crate) async fn status(State(app): State<Arc<App>>) -> Answer {
    Reply::of(&of(&app))
}

/// The summary of an environment.
pub(crate) fn of(app: &App) -> Status {
    let view = app.control().view();
    let targets = app.environment.data_plane.targets();
    let serving = Serving::of(&targets);
    let gateways: Vec<GatewaySummary> =
        view.gateways.iter().map(|(name, entry)| gateway(name, entry, &serving)).collect();
    let overall = overall(app, &view, gateways.iter());
    Status { overall, targets, gateways }
}

/// Everything but the gateways themselves.
pub(crate) fn overall<'a>(
    app: &App,
    view: &View,
    gateways: impl Iterator<Item = &'a GatewaySummary> + Clone,
) -> Overall {
    let ready = app.ready();
    let mut problems = problems(view, ready, gateways.clone());
    if view.proxies.is_empty() && app.environment.data_plane.comes_and_goes() {
        problems.push("no proxy is connected: nothing takes the changes that are made here".into());
    }
    let warnings = gateways.flat_map(|gateway| {
        gateway.warnings.iter().map(|warning| format!("gateway '{}': {warning}", gateway.name))
    });
    let observation = &view.observation;
    Overall {
        environment: app.name().to_owned(),
        version: app.process.info.version.clone(),
        revision: view.revision,
        ready,
        healthy: problems.is_empty(),
        problems,
        warnings: warnings.collect(),
        store: StoreStatus { r#type: app.process.info.store.clone(), problem: view.store_problem.clone() },
        platform: PlatformStatus {
            r#type: app.process.info.platform.clone(),
            complete: observation.complete,
            problem: observation.problem.clone(),
            instances: observation.instances.len(),
            ready: observation.instances.iter().filter(|instance| instance.ready).count(),
        },
        proxies: view.proxies.iter().map(proxy).collect(),
        virtual_hosts: app.environment.data_plane.virtual_host_address().map(|address| address.to_string()),
    }
}

fn problems<'a>(view: &View, ready: bool, gateways: impl Iterator<Item = &'a GatewaySummary>) -> Vec<String> {
    let mut problems = Vec::new();
    if !ready {
        problems.push("the first routing table is not applied yet".to_owned());
    }
    if !view.observation.complete {
        problems.push("the platform is not completely read yet".into());
    }
    if let Some(problem) = &view.observation.problem {
        problems
            .push(format!("the platform cannot be read, what is shown is the last known state: {problem}"));
    }
    if let Some(problem) = &view.store_problem {
        problems.push(format!("changes cannot be stored: {problem}"));
    }
    for proxy in view.proxies.iter() {
        if proxy.lost {
            problems.push(format!(
                "proxy '{}' has not been heard of for a while and may serve an older table",
                proxy.name
            ));
        } else if proxy.revision < Some(view.config.revision) {
            problems
                .push(format!("proxy '{}' does not serve revision {} yet", proxy.name, view.config.revision));
        }
        let of_gateways = proxy.problems.iter();
        problems.extend(
            of_gateways
                .map(|(gateway, problem)| format!("proxy '{}', gateway '{gateway}': {problem}", proxy.name)),
        );
    }
    for gateway in gateways.filter(|gateway| !gateway.healthy) {
        let name = &gateway.name;
        problems.push(match (gateway.deployed, gateway.routes, gateway.serving) {
            (_, 0, _) => format!("gateway '{name}' has no routes: nothing matches its selector"),
            (false, ..) => format!("gateway '{name}' is not served"),
            (true, _, 0) => format!("gateway '{name}': none of its routes has a target that can serve"),
            (true, ..) => {
                format!("gateway '{name}': no route with a weight or a condition has a target that can serve")
            }
        });
    }
    problems
}

fn proxy(proxy: &ProxyStatus) -> ProxySummary {
    let problem = |(gateway, problem): &(GatewayName, String)| ProxyProblem {
        gateway: gateway.to_string(),
        problem: problem.clone(),
    };
    ProxySummary {
        name: proxy.name.clone(),
        live: !proxy.lost,
        revision: proxy.revision,
        problems: proxy.problems.iter().map(problem).collect(),
    }
}

/// A gateway in short.
pub(crate) fn gateway(name: &GatewayName, entry: &Entry, serving: &Serving<'_>) -> GatewaySummary {
    let routes = entry.view.routes.iter().enumerate().map(|(i, (path, route))| {
        let instances = entry.instances.get(i).copied().unwrap_or_default();
        let title = route.metadata.get("title").and_then(|title| title.as_str()).unwrap_or(path.as_str());
        RouteSummary {
            path: path.to_string(),
            title: title.to_owned(),
            weight: route.weight.to_string(),
            effective_weight: entry.effective.get(i).copied().unwrap_or(Percent::ZERO).to_string(),
            condition: route.condition.as_ref().map(|condition| condition.text().to_owned()),
            condition_strength: route.condition_strength.to_string(),
            absent: entry.absent.get(i).copied().unwrap_or_default(),
            instances: instances.existing,
            ready: instances.ready,
            targets: route.targets.len(),
            ejected: serving.of_route(name, path).map_or(0, |seen| seen.ejected),
            down: serving.of_route(name, path).map_or(0, |seen| seen.down),
            serving: serving.can_serve(name, path, route),
        }
    });
    let route_states: Vec<RouteSummary> = routes.collect();
    let wanted = |state: &RouteSummary| state.effective_weight != "0%" || state.condition.is_some();
    GatewaySummary {
        name: name.to_string(),
        version: entry.version,
        port: entry.view.port.to_string(),
        address: address(&entry.view.service),
        virtual_hosts: entry.view.virtual_hosts.clone(),
        selector: entry.view.selector.as_ref().map(ToString::to_string),
        sticky: entry.view.sticky.map(|sticky| match sticky {
            Sticky::Route => "route",
            Sticky::Instance => "instance",
        }),
        deployed: entry.view.deployed,
        sticky_generation: entry.sticky_generation,
        warnings: entry.warnings.clone(),
        healthy: entry.view.deployed && route_states.iter().any(|state| state.serving && wanted(state)),
        routes: route_states.len(),
        serving: route_states.iter().filter(|state| state.serving).count(),
        route_states,
    }
}

fn address(service: &ServiceAddress) -> String {
    let ServiceAddress { host, port } = service;
    let port = port.number();
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// How the targets of each route are, as far as proxies tell.
pub(crate) struct Serving<'a>(HashMap<(&'a GatewayName, &'a RoutePath), Seen>);

/// How many targets of a route are how.
#[derive(Clone, Copy, Default)]
struct Seen {
    up: usize,
    ejected: usize,
    down: usize,
}

impl<'a> Serving<'a> {
    pub(crate) fn of(targets: &'a [TargetStatus]) -> Self {
        let mut routes: HashMap<_, Seen> = HashMap::new();
        for target in targets {
            let seen = routes.entry((&target.gateway, &target.route)).or_default();
            seen.up += usize::from(target.up);
            seen.ejected += usize::from(target.ejected);
            seen.down += usize::from(!target.up && !target.ejected);
        }
        Self(routes)
    }

    fn of_route(&self, gateway: &GatewayName, path: &RoutePath) -> Option<Seen> {
        self.0.get(&(gateway, path)).copied()
    }

    /// A route that no proxy knows is believed to serve while it has targets.
    fn can_serve(&self, gateway: &GatewayName, path: &RoutePath, route: &RouteView) -> bool {
        !route.targets.is_empty() && self.of_route(gateway, path).is_none_or(|seen| seen.up > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_counted_by_how_they_are() {
        let target = |id: &str, up, ejected| TargetStatus {
            gateway: GatewayName::parse("shop").unwrap(),
            route: RoutePath::parse("(1.0)").unwrap(),
            id: id.into(),
            name: id.into(),
            address: String::new(),
            up,
            ejected,
            ejections: 0,
            in_flight: 0,
            pending: 0,
        };
        // The third is left out by one of several proxies.
        let targets = [
            target("a", true, false),
            target("b", false, true),
            target("c", true, true),
            target("d", false, false),
        ];
        let serving = Serving::of(&targets);
        let (gateway, route) = (&targets[0].gateway, &targets[0].route);
        let seen = serving.of_route(gateway, route).unwrap();
        assert_eq!((seen.up, seen.ejected, seen.down), (2, 2, 1));
        assert!(serving.of_route(gateway, &RoutePath::parse("(2.0)").unwrap()).is_none());
    }
}
