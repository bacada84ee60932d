//! A small world around the core: a store that can fail, a platform of pods, a time that moves when told to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use model::event::Event;
use model::gateway::GatewayDocument;
use model::instance::{Container, ContainerPort, Instance, InstanceKind, Observation};
use model::name::GatewayName;
use routing::config::GatewayConfig;
use routing::decide::{Dice, decide};
use routing::request::RequestHead;
use routing::table::RoutingTable;
use store::{MemoryStore, Store, StoreError};

use crate::engine::core::{Core, Prepared};
use crate::engine::records;
use crate::request::{Change, Mode, Outcome, Refusal, Request};
use crate::settings::Settings;
use crate::view::Entry;

pub(super) struct World {
    pub(super) core: Core,
    pub(super) settings: Settings,
    pub(super) store: MemoryStore,
    /// The store refuses every commit.
    pub(super) store_fails: bool,
    pub(super) now: Timestamp,
    pub(super) pods: BTreeMap<String, Instance>,
    /// The platform cannot be read; `pods` may change, but nobody sees it.
    pub(super) platform_fails: bool,
    /// Everything that was ever stored, in order.
    pub(super) events: Vec<Event>,
    pub(super) table: RoutingTable,
    /// What the platform showed last.
    pub(super) last_seen: Arc<Vec<Arc<Instance>>>,
    dice: Xorshift,
}

/// Fixed dice.
pub(super) struct Xorshift(pub(super) u64);

impl Dice for Xorshift {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

pub(super) fn name(text: &str) -> GatewayName {
    GatewayName::parse(text).unwrap()
}

pub(super) fn document(yaml: &str) -> GatewayDocument {
    GatewayDocument::read(yaml).unwrap_or_else(|problems| panic!("{problems}:\n{yaml}"))
}

/// A ready pod with labels `key=value,...` and TCP ports.
pub(super) fn pod(name: &str, labels: &str, ip: [u8; 4], ports: &[u16]) -> Instance {
    let labels = labels.split(',').filter_map(|label| label.split_once('='));
    let port = |number: &u16| ContainerPort { number: *number, name: None, tcp: true, app_protocol: None };
    Instance {
        kind: InstanceKind::Pod,
        namespace: "default".into(),
        name: name.into(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ip: Some(IpAddr::V4(Ipv4Addr::from(ip))),
        ready: true,
        exists: true,
        containers: vec![Container {
            name: "main".into(),
            image: Some("example/shop:1".into()),
            ports: ports.iter().map(port).collect(),
        }],
    }
}

impl World {
    pub(super) fn new() -> Self {
        let settings = Settings::new("default");
        let mut world = Self {
            core: Core::new(settings.rules(), crate::state::State::default()),
            settings,
            store: MemoryStore::new(),
            store_fails: false,
            now: "2026-03-01T10:00:00Z".parse().unwrap(),
            pods: BTreeMap::new(),
            platform_fails: false,
            events: Vec::new(),
            table: RoutingTable::default(),
            last_seen: Arc::default(),
            dice: Xorshift(0x9e37_79b9_7f4a_7c15),
        };
        world.look();
        world
    }

    /// A world with the pods of a shop, one for each version, on 10.0.0.1 and so on, and a gateway `shop` over them.
    pub(super) fn shop(versions: &[&str]) -> Self {
        let mut world = Self::new();
        world.put(SHOP).unwrap();
        for version in versions {
            world.version(version);
        }
        world
    }

    /// A pod of one more version of the shop appears.
    pub(super) fn version(&mut self, version: &str) {
        let number = u8::try_from(self.pods.len() + 1).unwrap();
        let labels = format!("app=shop,version={version}");
        self.come(pod(&format!("shop-{version}"), &labels, [10, 0, 0, number], &[8080]));
    }

    pub(super) fn come(&mut self, pod: Instance) {
        self.pods.insert(pod.name.clone(), pod);
        self.look();
    }

    pub(super) fn go(&mut self, pod: &str) {
        self.pods.remove(pod).expect("a pod of that name");
        self.look();
    }

    pub(super) fn ready(&mut self, pod: &str, ready: bool) {
        self.pods.get_mut(pod).expect("a pod of that name").ready = ready;
        self.look();
    }

    /// The platform shows its pods, and what follows is done.
    pub(super) fn look(&mut self) {
        if !self.platform_fails {
            self.last_seen = Arc::new(self.pods.values().cloned().map(Arc::new).collect());
        }
        let observation = Observation {
            instances: self.last_seen.clone(),
            problem: self.platform_fails.then(|| "no route to host".to_owned()),
            complete: true,
        };
        self.core.observe(&observation);
        self.follow();
    }

    pub(super) fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.follow();
    }

    /// Does what follows from observation and time, as the task does.
    pub(super) fn follow(&mut self) {
        if !self.store_fails {
            self.core.retry();
        }
        let mut rounds = 0;
        while let Some(mut prepared) = self.core.prepare_automatic(self.now) {
            rounds += 1;
            assert!(rounds < 1000, "automatic changes do not come to an end");
            match self.commit(&prepared) {
                Ok((revision, events)) => {
                    self.core.apply(&mut prepared, revision);
                    self.events.extend(events);
                }
                Err(_) => {
                    self.core.postpone(&prepared);
                }
            }
        }
        self.compile();
    }

    fn commit(&self, prepared: &Prepared) -> Result<(u64, Vec<Event>), StoreError> {
        if prepared.commit.is_empty() {
            return Ok((self.core.revision(), Vec::new()));
        }
        if self.store_fails {
            return Err(StoreError::Io("broken on purpose".into()));
        }
        let committed = self.store.commit(prepared.commit.clone()).now_or_never().unwrap()?;
        Ok((committed.revision, committed.events))
    }

    pub(super) fn request(&mut self, request: &Request) -> Result<Vec<Outcome>, Refusal> {
        let mut prepared = self.core.prepare(request, self.now)?;
        if request.dry_run {
            return Ok(self.core.outcomes(&prepared, true, &[]));
        }
        let unavailable = |error: StoreError| {
            Refusal::new(crate::request::RefusalKind::Unavailable, "store", error.to_string())
        };
        let (revision, events) = self.commit(&prepared).map_err(unavailable)?;
        self.core.apply(&mut prepared, revision);
        let outcomes = self.core.outcomes(&prepared, false, &events);
        self.events.extend(events);
        self.compile();
        Ok(outcomes)
    }

    pub(super) fn change(&mut self, change: Change) -> Result<Vec<Outcome>, Refusal> {
        self.request(&Request::new(change, "ann"))
    }

    /// Writes a gateway, as PUT does, and shows it.
    pub(super) fn put(&mut self, yaml: &str) -> Result<String, String> {
        self.write(yaml, Mode::Put)
    }

    pub(super) fn create(&mut self, yaml: &str) -> Result<String, String> {
        self.write(yaml, Mode::Create)
    }

    fn write(&mut self, yaml: &str, mode: Mode) -> Result<String, String> {
        let document = GatewayDocument::read(yaml).map_err(|problems| problems.message())?;
        let name = document.name.clone();
        let change = Change::Gateway { document, mode };
        self.change(change).map_err(|refusal| format!("{:?}: {}", refusal.kind, refusal.message()))?;
        Ok(self.show(name.as_str()))
    }

    pub(super) fn entry(&self, gateway: &str) -> Arc<Entry> {
        self.core
            .shown()
            .gateways
            .get(&name(gateway))
            .unwrap_or_else(|| panic!("no gateway '{gateway}'"))
            .clone()
    }

    pub(super) fn config(&self, gateway: &str) -> Arc<GatewayConfig> {
        self.core.shown().config.gateways[&name(gateway)].clone()
    }

    /// One line: routes with configured weight, `>` effective weight where it differs, number of targets, absence, condition.
    pub(super) fn show(&self, gateway: &str) -> String {
        let entry = self.entry(gateway);
        let config = self.config(gateway);
        let routes = entry.view.routes.iter().enumerate().map(|(index, (path, route))| {
            let mut text = format!("{path} {}", route.weight);
            if entry.effective[index] != route.weight {
                text += &format!(">{}", entry.effective[index]);
            }
            text += &format!(" x{}", config.routes[index].targets.len());
            if entry.absent[index] {
                text += " absent";
            }
            if let Some(condition) = &route.condition {
                text += &format!(" if {condition} {}", route.condition_strength);
            }
            text
        });
        routes.collect::<Vec<_>>().join(" | ")
    }

    /// Starts the core anew from what is stored, as a new process does.
    pub(super) fn restart(&mut self) {
        let loaded = self.store.load().now_or_never().unwrap().unwrap();
        let state = records::load(&loaded).unwrap();
        self.core = Core::new(self.settings.rules(), state);
        self.look();
    }

    /// New events since `mark`, shortened: tags without the name of the gateway.
    pub(super) fn events_since(&self, mark: usize) -> Vec<String> {
        let short = |event: &Event| {
            let own = |tag: &&String| {
                tag.contains(':') && !tag.starts_with("gateways:")
                    || *tag == "deployed"
                    || *tag == "undeployed"
            };
            event.tags.iter().filter(own).cloned().collect::<Vec<_>>().join(" ")
        };
        self.events[mark..].iter().map(short).collect()
    }

    fn compile(&mut self) {
        let dice = &mut self.dice;
        self.table = RoutingTable::compile(&self.core.shown().config, &self.table, &mut || dice.roll());
    }

    /// Sends requests and counts by route, or by `503`.
    pub(super) fn send(
        &mut self,
        gateway: &str,
        count: usize,
        target: &str,
        headers: &[(&str, &str)],
    ) -> BTreeMap<String, usize> {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let head = RequestHead {
            method: "GET",
            target,
            host: "any.example",
            fields: &headers,
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 9070,
            tls: false,
        };
        let gateway = self.table.gateway(&name(gateway)).expect("a gateway in the table").clone();
        let mut counts = BTreeMap::new();
        for _ in 0..count {
            let decision = decide(&gateway, &head, &mut self.dice);
            let route = decision.chosen.map(|chosen| gateway.config.routes[chosen.route].path.to_string());
            *counts.entry(route.unwrap_or_else(|| "503".into())).or_default() += 1;
        }
        counts
    }
}

pub(super) const SHOP: &str = "
name: shop
port: 9070
selector: label(app)(shop) && label(version)((.*))
";

pub(super) fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected.into_iter().map(|(route, count)| (route.to_owned(), count)).collect()
}
