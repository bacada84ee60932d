//! A user's change against the current state: a new state, or a refusal (spec: gateways 5-7, 12, 15, 17, 21).
//!
//! Several changes are made first and checked afterwards, on the state that they add up to. So two gateways can swap
//! their ports in one request, and the order of documents does not matter.
//!
//! A written document always acts on the live part, also when it is the one that is declared already: that is what PUT means. A
//! door whose documents are applied over and over (GitOps) uses [`Change::Declare`], which acts on what was edited only, so that it
//! never moves live weights.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use model::artifact::{Artifact, ArtifactKind, Body};
use model::condition::Condition;
use model::event::NewEvent;
use model::gateway::{GatewayDocument, GatewaySpec, Mirror, References, RouteDocument};
use model::name::GatewayName;
use model::port::{Port, Protocol};
use model::problem::{Problem, Problems};
use model::rewrite::Rewrite;
use serde_json::Value;

use super::{Rules, chains, claims, declared, diff, routes};
use crate::request::{Change, Mode, Part, Refusal, RefusalKind, Request};
use crate::state::{
    Gateway, GatewayState, LiveRoute, PlatformService, Sighting, State, StoredMirror, Written,
};
use crate::view::StoredArtifact;

/// A state with the changes of a request in it, not yet reconciled with the platform.
#[derive(Debug)]
pub struct Draft {
    /// The state.
    pub state: State,
    /// Gateways that were written or deleted.
    pub gateways: BTreeSet<GatewayName>,
    /// Artifacts that were written or deleted.
    pub artifacts: BTreeSet<(ArtifactKind, String)>,
    /// Gateways whose mirrors were written or deleted.
    pub mirrors: BTreeSet<GatewayName>,
    /// What became of each change, in the order of the request.
    pub done: Vec<Done>,
    /// Archive events, and those that the request publishes.
    pub events: Vec<NewEvent>,
}

/// What became of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// This gateway was written.
    Gateway(GatewayName),
    /// This artifact was written.
    Artifact(ArtifactKind, String),
    /// True when there was something to delete.
    Deleted(bool),
    /// Events were published: this many.
    Events(usize),
}

/// Makes the changes of a request on a copy of `state`.
///
/// # Errors
/// Everything that is wrong with them.
pub fn accept(state: &State, rules: &Rules, request: &Request, now: Timestamp) -> Result<Draft, Refusal> {
    let mut work = Work {
        before: state,
        draft: Draft {
            state: state.clone(),
            gateways: BTreeSet::new(),
            artifacts: BTreeSet::new(),
            mirrors: BTreeSet::new(),
            done: Vec::new(),
            events: Vec::new(),
        },
        request,
        now,
        written: BTreeSet::new(),
        several: false,
        refusal: None,
    };
    match &request.change {
        Change::Many(parts) => work.many(parts)?,
        Change::Events(events) => {
            work.draft.events.extend(events.iter().cloned());
            work.draft.done.push(Done::Events(events.len()));
        }
        change => {
            let done = work.single(change, request.body.as_deref())?;
            work.draft.done.push(done);
        }
    }
    work.check(rules);
    match work.refusal {
        Some(refusal) => Err(refusal),
        None => Ok(work.draft),
    }
}

/// Changes the live part of a gateway in place.
pub(super) fn edit(state: &mut State, name: &GatewayName, change: impl FnOnce(&mut GatewayState)) {
    if let Some(gateway) = state.gateways.get_mut(name) {
        change(Arc::make_mut(&mut gateway.live));
    }
}

struct Work<'a> {
    before: &'a State,
    draft: Draft,
    request: &'a Request,
    now: Timestamp,
    /// Gateways whose documents were written, as opposed to deleted or evicted.
    written: BTreeSet<GatewayName>,
    /// Several changes at once: messages say which one.
    several: bool,
    /// What is wrong so far.
    refusal: Option<Refusal>,
}

impl Work<'_> {
    /// A12: artifacts before gateways, deletions in the opposite order.
    fn many(&mut self, parts: &[Part]) -> Result<(), Refusal> {
        // What is remembered on the side is no change that anybody would look for in a message.
        self.several = parts.iter().filter(|part| !matches!(part.change, Change::Mirror { .. })).count() > 1;
        let rank = |part: &Part| match part.change {
            Change::Artifact { .. } => Some(0),
            Change::Gateway { .. } | Change::Declare { .. } => Some(1),
            Change::Evict { .. } | Change::Service { .. } => Some(2),
            Change::DeleteGateway(_) => Some(3),
            Change::Mirror { .. } => Some(4),
            Change::DeleteArtifact { .. } => Some(5),
            Change::Many(_) | Change::Events(_) => None,
        };
        let mut order: Vec<usize> = (0..parts.len()).collect();
        if parts.iter().any(|part| rank(part).is_none()) {
            return Err(Refusal::new(
                RefusalKind::Internal,
                "nested-change",
                "Several changes at once must be simple ones.",
            ));
        }
        order.sort_by_key(|index| rank(&parts[*index]));
        let mut done = vec![None; parts.len()];
        for index in order {
            let part = &parts[index];
            match self.single(&part.change, part.body.as_deref()) {
                Ok(outcome) => done[index] = Some(outcome),
                Err(refusal) => self.refuse(&subject(&part.change), refusal),
            }
        }
        self.draft.done = done.into_iter().flatten().collect();
        Ok(())
    }

    fn single(&mut self, change: &Change, body: Option<&str>) -> Result<Done, Refusal> {
        match change {
            Change::Gateway { document, mode } => self.put_gateway(document, *mode, body),
            Change::Declare { document, uid, generation, own } => {
                self.declare(document, (uid, *generation), own, body)
            }
            Change::Mirror { gateway, mirror } => Ok(self.mirror(gateway, mirror.as_ref())),
            Change::DeleteGateway(name) => self.delete_gateway(name),
            Change::Evict { gateway } => self.evict(gateway),
            Change::Service { gateway, service } => Ok(self.service(gateway, service)),
            Change::Artifact { artifact, mode } => self.put_artifact(artifact, *mode, body),
            Change::DeleteArtifact { kind, name } => self.delete_artifact(*kind, name),
            Change::Many(_) | Change::Events(_) => Err(Refusal::new(
                RefusalKind::Internal,
                "nested-change",
                "Several changes at once must be simple ones.",
            )),
        }
    }

    fn put_gateway(
        &mut self,
        document: &GatewayDocument,
        mode: Mode,
        body: Option<&str>,
    ) -> Result<Done, Refusal> {
        let name = document.name.clone();
        let previous = self.draft.state.gateways.get(&name).cloned();
        self.precondition("gateways", name.as_str(), previous.as_ref().map(Gateway::version))?;
        if mode == Mode::Create && previous.is_some() {
            return Err(exists(name.as_str()));
        }
        let spec = document.clone().resolve(&self.draft.state)?;
        if name.is_internal() {
            internal(&name, previous.as_ref(), &spec)?;
        }
        let routes = routes::merge(previous.as_ref(), &spec).map_err(Problems::from)?;
        let port = claims::port(previous.as_ref(), &spec);
        // Where the document has an owner elsewhere, only what is no live setting changes it.
        let spec = match &previous {
            Some(previous) if self.draft.state.mirrors.contains_key(&name) => declared::kept(previous, spec),
            _ => spec,
        };
        self.write_gateway(name.clone(), previous, spec, routes, port);
        self.archive("gateways", name.as_str(), Some(mode), body);
        Ok(Done::Gateway(name))
    }

    /// An edit of the mirrored document. Applied again, it changes nothing.
    fn declare(
        &mut self,
        document: &GatewayDocument,
        (uid, generation): (&str, i64),
        own: &BTreeSet<String>,
        body: Option<&str>,
    ) -> Result<Done, Refusal> {
        let name = document.name.clone();
        let previous = self.draft.state.gateways.get(&name).cloned();
        self.precondition("gateways", name.as_str(), previous.as_ref().map(Gateway::version))?;
        let given = document.clone().resolve(&self.draft.state)?;
        if name.is_internal() {
            internal(&name, previous.as_ref(), &given)?;
        }
        let mirror = Mirror { uid: uid.to_owned(), generation, base: Arc::new(given.clone()) };
        let (spec, routes) = match &previous {
            None => {
                let routes = routes::merge(None, &given).map_err(Problems::from)?;
                (given, routes)
            }
            Some(gateway) => {
                let known = self.draft.state.mirrors.get(&name);
                let base = known.map_or(&gateway.declared, |known| &known.mirror.base);
                let base = GatewaySpec::clone(base).with_fields_of(&given, own);
                let spec = declared::edited(&base, &given, &gateway.declared);
                let routes = declared::routes(&base, &given, &spec, gateway).map_err(Problems::from)?;
                (spec, routes)
            }
        };
        let port = claims::port(previous.as_ref(), &spec);
        let same = previous.as_ref().is_some_and(|gateway| {
            *gateway.declared == spec
                && gateway.live.routes == routes
                && gateway.live.port.number() == port.0.number()
        });
        if !same {
            let mode = if previous.is_some() { Mode::Put } else { Mode::Create };
            self.write_gateway(name.clone(), previous, spec, routes, port);
            self.archive("gateways", name.as_str(), Some(mode), body);
        }
        self.mirror(&name, Some(&mirror));
        Ok(Done::Gateway(name))
    }

    fn write_gateway(
        &mut self,
        name: GatewayName,
        previous: Option<Gateway>,
        spec: GatewaySpec,
        routes: Vec<LiveRoute>,
        (port, assigned): (Port, bool),
    ) {
        let live = GatewayState {
            port,
            assigned,
            hosts: Vec::new(),
            // 1.1: given on create it is kept; on update the stored value wins.
            service: previous
                .as_ref()
                .map_or_else(|| spec.service.clone(), |gateway| gateway.live.service.clone()),
            sticky_generation: previous.as_ref().map_or(0, |gateway| gateway.live.sticky_generation),
            routes,
        };
        let gateway = Gateway {
            declared: Arc::new(spec),
            live: Arc::new(live),
            sighted: previous.as_ref().map_or_else(|| Arc::new(Sighting::default()), |g| g.sighted.clone()),
            written: previous.as_ref().map_or_else(Written::default, |gateway| gateway.written),
        };
        self.draft.state.gateways.insert(name.clone(), gateway);
        self.draft.gateways.insert(name.clone());
        self.written.insert(name);
    }

    /// What is remembered of the object that mirrors a gateway. Nobody is told; it is no change to anything.
    fn mirror(&mut self, name: &GatewayName, mirror: Option<&Mirror>) -> Done {
        let mirrors = &mut self.draft.state.mirrors;
        let known = mirrors.get(name);
        if known.map(|known| &known.mirror) != mirror {
            match mirror {
                Some(mirror) => {
                    let version = known.map_or(0, |known| known.version);
                    mirrors.insert(name.clone(), Arc::new(StoredMirror { mirror: mirror.clone(), version }));
                }
                None => drop(mirrors.remove(name)),
            }
            self.draft.mirrors.insert(name.clone());
        }
        Done::Deleted(mirror.is_none())
    }

    fn delete_gateway(&mut self, name: &GatewayName) -> Result<Done, Refusal> {
        let version = self.draft.state.gateways.get(name).map(Gateway::version);
        self.precondition("gateways", name.as_str(), version)?;
        if name.is_internal() && version.is_some() {
            return Err(Problems::from(Problem::new(
                "internal-gateway",
                "",
                format!(
                    "Gateway '{name}' is an internal deployment gateway, it is removed with its deployment."
                ),
            ))
            .into());
        }
        if self.draft.state.gateways.remove(name).is_some() {
            self.draft.gateways.insert(name.clone());
            self.written.remove(name);
            self.archive("gateways", name.as_str(), None, None);
        }
        Ok(Done::Deleted(version.is_some()))
    }

    /// R31. The generation never returns to an earlier value while the gateway lives, so no old cookie becomes valid again.
    fn evict(&mut self, name: &GatewayName) -> Result<Done, Refusal> {
        let version = self.draft.state.gateways.get(name).map(Gateway::version);
        if version.is_none() {
            return Err(Refusal::new(
                RefusalKind::NotFound,
                "artifact-not-found",
                format!("Gateway cannot be found: '{name}'."),
            ));
        }
        self.precondition("gateways", name.as_str(), version)?;
        edit(&mut self.draft.state, name, |live| {
            live.sticky_generation = live.sticky_generation.wrapping_add(1)
        });
        self.draft.gateways.insert(name.clone());
        Ok(Done::Gateway(name.clone()))
    }

    /// What the platform says about the gateway's service. Not an edit: it has no archive event and leaves the version alone.
    fn service(&mut self, name: &GatewayName, service: &PlatformService) -> Done {
        let Some(gateway) = self.draft.state.gateways.get_mut(name) else { return Done::Deleted(false) };
        if gateway.sighted.service != *service {
            Arc::make_mut(&mut gateway.sighted).service = service.clone();
            self.draft.gateways.insert(name.clone());
        }
        Done::Gateway(name.clone())
    }

    fn put_artifact(&mut self, artifact: &Artifact, mode: Mode, body: Option<&str>) -> Result<Done, Refusal> {
        let key = (artifact.kind(), artifact.name.clone());
        let previous = self.draft.state.artifacts.get(&key);
        let version = previous.map(|stored| stored.version);
        let same = previous.is_some_and(|stored| stored.artifact == *artifact);
        self.precondition(key.0.as_str(), &key.1, version)?;
        if mode == Mode::Create && version.is_some() {
            return Err(exists(&key.1));
        }
        if !same {
            // The version follows with the commit.
            let stored = StoredArtifact { artifact: artifact.clone(), version: version.unwrap_or_default() };
            self.draft.state.artifacts.insert(key.clone(), Arc::new(stored));
            self.draft.artifacts.insert(key.clone());
        }
        self.archive(key.0.as_str(), &key.1, Some(mode), body);
        Ok(Done::Artifact(key.0, key.1))
    }

    fn delete_artifact(&mut self, kind: ArtifactKind, name: &str) -> Result<Done, Refusal> {
        let key = (kind, name.to_owned());
        let version = self.draft.state.artifacts.get(&key).map(|stored| stored.version);
        self.precondition(kind.as_str(), name, version)?;
        if self.draft.state.artifacts.remove(&key).is_some() {
            self.draft.artifacts.insert(key);
            self.archive(kind.as_str(), name, None, None);
        }
        Ok(Done::Deleted(version.is_some()))
    }

    /// `If-Match`, for single changes: one version cannot stand for several artifacts.
    fn precondition(&self, kind: &str, name: &str, current: Option<u64>) -> Result<(), Refusal> {
        match self.request.if_match.filter(|_| !self.several) {
            Some(wanted) if current != Some(wanted) => {
                let now = match current {
                    Some(version) => format!(
                        "its version is {version} now, not {wanted}; read it again and repeat the change"
                    ),
                    None => "it does not exist".to_owned(),
                };
                let message = format!("'{kind}/{name}' was changed meanwhile: {now}.");
                Err(Refusal::new(RefusalKind::Conflict, "changed-meanwhile", message))
            }
            _ => Ok(()),
        }
    }

    fn archive(&mut self, kind: &str, name: &str, mode: Option<Mode>, body: Option<&str>) {
        let what = match mode {
            Some(Mode::Create) => "create",
            Some(Mode::Put) => "update",
            None => "delete",
        };
        self.draft.events.push(NewEvent {
            tags: BTreeSet::from([format!("{kind}:{name}"), format!("archive:{what}")]),
            value: body.map(Value::from),
            kind: "archive".into(),
            ..diff::event(&self.request.actor, self.now)
        });
    }

    /// Everything that is about more than one gateway, on the state as it would be.
    fn check(&mut self, rules: &Rules) {
        let written = self.written.clone();
        let state = &mut self.draft.state;
        let exhausted = claims::assign_ports(state, &written, rules).err();
        let mut problems = claims::hosts(state, &written, rules);
        for name in &written {
            let own = problems.entry(name.clone()).or_default();
            own.extend(claims::check_port(state, name, self.before.gateways.get(name), rules));
            own.extend(chains::check(state, name));
            own.extend(state.gateways.get(name).map(check_protocol).unwrap_or_default());
        }
        for (name, problems) in problems {
            if !problems.is_empty() {
                self.refuse(&format!("gateways/{name}"), Problems(problems).into());
            }
        }
        if let Some(name) = exhausted {
            let (first, last) = (rules.port_range.start(), rules.port_range.end());
            let message = format!("No port available in the range {first}-{last} for gateway '{name}'.");
            let refusal = Refusal::new(RefusalKind::Exhausted, "gateway-port-range", message);
            self.refuse(&format!("gateways/{name}"), refusal);
        }
    }

    /// Takes a refusal in. The first one decides about the class.
    fn refuse(&mut self, subject: &str, mut refusal: Refusal) {
        if self.several {
            for problem in &mut refusal.problems.0 {
                problem.message = format!("{subject}: {}", problem.message);
            }
        }
        match &mut self.refusal {
            Some(first) => first.problems.0.append(&mut refusal.problems.0),
            None => self.refusal = Some(refusal),
        }
    }
}

fn subject(change: &Change) -> String {
    match change {
        Change::Gateway { document, .. } | Change::Declare { document, .. } => {
            format!("gateways/{}", document.name)
        }
        Change::DeleteGateway(name)
        | Change::Mirror { gateway: name, .. }
        | Change::Evict { gateway: name }
        | Change::Service { gateway: name, .. } => format!("gateways/{name}"),
        Change::Artifact { artifact, .. } => format!("{}/{}", artifact.kind().as_str(), artifact.name),
        Change::DeleteArtifact { kind, name } => format!("{}/{name}", kind.as_str()),
        Change::Many(_) | Change::Events(_) => String::new(),
    }
}

fn exists(name: &str) -> Refusal {
    Refusal::new(RefusalKind::Exists, "artifact-exists", format!("Artifact already exists: '{name}'."))
}

/// 1.4: an internal gateway lives with its deployment; only the settings of its routes may change.
fn internal(name: &GatewayName, previous: Option<&Gateway>, spec: &GatewaySpec) -> Result<(), Refusal> {
    let paths =
        |routes: &mut dyn Iterator<Item = &model::name::RoutePath>| routes.cloned().collect::<BTreeSet<_>>();
    let message = match previous {
        None => {
            format!("Gateway '{name}' is an internal deployment gateway, it is created with its deployment.")
        }
        Some(gateway)
            if paths(&mut gateway.live.routes.iter().map(|route| &route.path))
                != paths(&mut spec.routes.iter().map(|(path, _)| path)) =>
        {
            format!(
                "Gateway '{name}' is an internal deployment gateway, its routes can be changed but not added or removed."
            )
        }
        Some(_) => return Ok(()),
    };
    Err(Problems::from(Problem::new("internal-gateway", "", message)).into())
}

/// What a tcp gateway cannot do (R9, section 16), looked for where the document alone does not tell: in routes that a
/// selector found and a change of the port meets.
fn check_protocol(gateway: &Gateway) -> Vec<Problem> {
    let protocol = gateway.live.port.protocol();
    let mut problems = Vec::new();
    if protocol == Protocol::Tcp && gateway.declared.sticky.is_some() {
        problems.push(Problem::new(
            "sticky-on-tcp",
            "/sticky",
            "Sticky sessions are not allowed for TCP port.",
        ));
    }
    if protocol == Protocol::Tcp && gateway.declared.tls.as_ref().is_some_and(|tls| tls.redirect) {
        problems.push(Problem::new(
            "tls",
            "/tls/redirect",
            "A redirect to https is not possible for TCP port.",
        ));
    }
    if protocol == Protocol::Tcp && gateway.declared.target_protocol.is_some() {
        problems.push(Problem::new(
            "target-protocol-on-tcp",
            "/target_protocol",
            "A target protocol is not allowed for TCP port.",
        ));
    }
    for route in &gateway.live.routes {
        let path = &route.path;
        if protocol == Protocol::Tcp && (route.condition.is_some() || !route.rewrites.is_empty()) {
            let message =
                format!("Conditions and rewrites are not allowed for TCP port: route '{path}' has some.");
            problems.push(Problem::new("condition-on-tcp", format!("/routes/{path}"), message));
        }
        if !route.balance.suits(protocol) {
            let message = format!(
                "Balance '{}' of route '{path}' is not possible for a {protocol} gateway.",
                route.balance
            );
            problems.push(Problem::new("balance", format!("/routes/{path}/balance"), message));
        }
    }
    problems
}

impl References for State {
    fn route(&self, name: &str) -> Option<RouteDocument> {
        let stored = self.artifacts.get(&(ArtifactKind::Routes, name.to_owned()))?;
        match &stored.artifact.body {
            Body::Route(route) => Some(route.clone()),
            _ => None,
        }
    }

    fn condition(&self, name: &str) -> Option<Condition> {
        let stored = self.artifacts.get(&(ArtifactKind::Conditions, name.to_owned()))?;
        match &stored.artifact.body {
            Body::Condition(condition) => Some(condition.clone()),
            _ => None,
        }
    }

    fn rewrite(&self, name: &str) -> Option<Rewrite> {
        let stored = self.artifacts.get(&(ArtifactKind::Rewrites, name.to_owned()))?;
        match &stored.artifact.body {
            Body::Rewrite(rewrite) => Some(rewrite.clone()),
            _ => None,
        }
    }
}
