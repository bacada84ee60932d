//! `/route-tests`: which route a request would take, and why.
//!
//! The live positions of the splits must not move, so the gateway is compiled once more, on its own, with the present state of
//! its targets. On that copy the request is decided once for the answer and then many times for the shares.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::State;
use model::name::GatewayName;
use model::percent::Percent;
use model::port::Protocol;
use routing::config::{GatewayConfig, RouteConfig, RoutingConfig, TargetAddress};
use routing::decide::{Decision, Dice, decide, decide_connection, rewrite};
use routing::request::RequestHead;
use routing::table::{Gateway, RoutingTable, Target};
use routing::trial::Trial;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{input, optional, required};
use crate::context::App;
use crate::schema;
use crate::web::body::Text;
use crate::web::failure::Failure;
use crate::web::reply::{Answer, Reply};

/// Decisions behind the shares. Splits are exact over 10 000 by construction, so more would not say more.
const DECISIONS: u32 = 10_000;

pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(test))
}

/// Which route would a request take, and why? Nothing is sent, and nothing changes.
#[utoipa::path(post, path = "/api/v1/route-tests", tag = "gateways",
    request_body(content = schema::RouteTestInput, description = "YAML or JSON, whatever the media type says."),
    responses((status = 200, description = "The decision.", body = schema::RouteTest), (status = 404, description = "No such gateway, or not served.", body = schema::Error)))]
pub(crate) async fn test(State(app): State<Arc<App>>, text: Text) -> Answer {
    let request = Request::read(&text.0)?;
    let table = app.environment.data_plane.table();
    let Some(live) = table.gateway(&request.gateway) else {
        return Err(match app.control().view().gateways.contains_key(&request.gateway) {
            true => Failure::not_found(format!(
                "Gateway '{}' is not served by the data plane yet.",
                request.gateway
            )),
            false => super::gateways::missing(&request.gateway),
        });
    };
    let gateway = copy(live).ok_or_else(Failure::internal)?;
    // Thousands of decisions take milliseconds; other requests of this thread should not wait for them.
    let revision = table.revision;
    tokio::task::spawn_blocking(move || Reply::ok(explain(&gateway, &request, revision)))
        .await
        .map_err(|_| Failure::internal())
}

struct Request {
    gateway: GatewayName,
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
    source: IpAddr,
}

impl Request {
    fn read(text: &str) -> Result<Self, Failure> {
        let map = input(text, &["gateway", "method", "path", "host", "headers", "source"])?;
        let gateway = super::gateways::parse(&required(&map, "gateway")?)?;
        let method = optional(&map, "method")?.unwrap_or_else(|| "GET".into()).to_ascii_uppercase();
        let path = optional(&map, "path")?.unwrap_or_else(|| "/".into());
        let target = if path.starts_with('/') || path == "*" { path } else { format!("/{path}") };
        let fields = fields(&map)?;
        let from_fields =
            fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.clone());
        let host = optional(&map, "host")?.or(from_fields).unwrap_or_default();
        let source = match optional(&map, "source")? {
            None => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(text) => text.parse().map_err(|_| {
                Failure::bad_request(
                    "invalid-source",
                    format!("Not an IP address: '{text}', for example 10.0.0.7."),
                )
            })?,
        };
        Ok(Self { gateway, method, target, host, fields, source })
    }
}

/// Headers as a map (values: text, or a list of texts) or as a list of pairs.
fn fields(map: &Map<String, Value>) -> Result<Vec<(String, String)>, Failure> {
    let wrong = || {
        Failure::bad_request(
            "unexpected-type",
            "Unexpected type for path '/headers': expected a map such as {Accept: text/html} or a list of [name, value] pairs.",
        )
    };
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(wrong()),
    };
    let mut fields = Vec::new();
    match map.get("headers") {
        None | Some(Value::Null) => {}
        Some(Value::Object(headers)) => {
            for (name, value) in headers {
                match value {
                    Value::Array(values) => {
                        for value in values {
                            fields.push((name.clone(), text(value)?));
                        }
                    }
                    value => fields.push((name.clone(), text(value)?)),
                }
            }
        }
        Some(Value::Array(pairs)) => {
            for pair in pairs {
                match pair.as_array().map(Vec::as_slice) {
                    Some([Value::String(name), value]) => fields.push((name.clone(), text(value)?)),
                    _ => return Err(wrong()),
                }
            }
        }
        Some(_) => return Err(wrong()),
    }
    Ok(fields)
}

/// The same gateway with positions of its own.
fn copy(live: &Gateway) -> Option<Arc<Gateway>> {
    let copy = compile(live.config.clone())?;
    for (ours, theirs) in copy.routes.iter().zip(&live.routes) {
        let portions: BTreeMap<_, _> =
            theirs.targets.iter().map(|target| (&target.config.id, target.state.portion())).collect();
        for target in &ours.targets {
            if let Some(portion) = portions.get(&target.config.id) {
                target.state.set_portion(*portion);
            }
        }
    }
    Some(copy)
}

fn compile(config: Arc<GatewayConfig>) -> Option<Arc<Gateway>> {
    let name = config.name.clone();
    let mut seeds = SplitMix(seed());
    let config = RoutingConfig { revision: 0, gateways: BTreeMap::from([(name.clone(), config)]) };
    RoutingTable::compile(&config, &RoutingTable::default(), &mut || seeds.roll()).gateway(&name).cloned()
}

/// Chance for an answer that nothing depends on: the hasher's keys, which differ for each process and each call.
fn seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// A small generator of random numbers; good enough for the positions of a copy.
struct SplitMix(u64);

impl Dice for SplitMix {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn explain(gateway: &Gateway, request: &Request, revision: u64) -> Value {
    let config = &gateway.config;
    let mut dice = SplitMix(seed());
    let mut once = |fields: &Vec<(String, String)>| -> Decision {
        match config.protocol {
            Protocol::Http => decide(gateway, &head(gateway, request, fields), &mut dice),
            Protocol::Tcp => decide_connection(gateway, request.source, &mut dice),
        }
    };
    let decision = once(&request.fields);
    // Shares are those of a crowd: a cookie that pins this client would hide them.
    let anonymous: Vec<_> = request.fields.iter().filter_map(without_own_cookies).collect();
    let mut counts = vec![0_u32; config.routes.len()];
    for _ in 0..DECISIONS {
        if let Some(chosen) = once(&anonymous).chosen {
            counts[chosen.route] += 1;
        }
    }
    let shares: Map<String, Value> = config
        .routes
        .iter()
        .zip(counts)
        .map(|(route, count)| (route.path.to_string(), share(count)))
        .collect();
    let chosen = decision.chosen.map(|chosen| {
        (chosen.route, &config.routes[chosen.route], &gateway.routes[chosen.route].targets[chosen.target])
    });
    let rewritten = chosen
        .filter(|_| config.protocol == Protocol::Http)
        .and_then(|(route, ..)| rewrite(gateway, route, &head(gateway, request, &request.fields)));
    let conditions = conditions(gateway, request);
    let matched = conditions.iter().find(|condition| condition["holds"] == true);
    json!({
        "revision": revision,
        "gateway": config.name,
        "route": chosen.map(|(_, route, _)| route.path.as_str()),
        "target": chosen.map(|(.., target)| show(target)),
        "reason": decision.reason.as_str(),
        "matched_condition": matched,
        "conditions": conditions,
        "rewritten": rewritten,
        "shares": shares,
    })
}

fn head<'a>(gateway: &Gateway, request: &'a Request, fields: &'a Vec<(String, String)>) -> RequestHead<'a> {
    RequestHead {
        method: &request.method,
        target: &request.target,
        host: &request.host,
        fields,
        source: request.source,
        port: gateway.config.port.unwrap_or_default(),
        tls: false,
    }
}

fn without_own_cookies((name, value): &(String, String)) -> Option<(String, String)> {
    if !name.eq_ignore_ascii_case("cookie") {
        return Some((name.clone(), value.clone()));
    }
    let own = |pair: &&str| routing::decide::is_own_cookie(pair.split('=').next().unwrap_or_default().trim());
    let kept: Vec<&str> = value.split(';').map(str::trim).filter(|pair| !own(pair)).collect();
    (!kept.is_empty()).then(|| (name.clone(), kept.join("; ")))
}

fn share(count: u32) -> Value {
    let hundredths = u16::try_from(u64::from(count) * 10_000 / u64::from(DECISIONS)).unwrap_or(10_000);
    Percent::from_hundredths(hundredths).unwrap_or_default().to_string().into()
}

/// Every condition of the gateway in order and whether it holds, whatever its strength and targets.
fn conditions(gateway: &Gateway, request: &Request) -> Vec<Value> {
    let config = &gateway.config;
    if config.protocol != Protocol::Http {
        return Vec::new();
    }
    let show = |route: &RouteConfig| {
        let strength = Percent::from_hundredths(route.strength).unwrap_or_default();
        let condition = route.condition.as_ref()?;
        let holds = Trial::of(config, condition.clone())
            .is_some_and(|trial| trial.holds(&head(gateway, request, &request.fields)));
        let (text, strength) = (condition.text(), strength.to_string());
        Some(json!({ "route": route.path, "condition": text, "strength": strength, "holds": holds }))
    };
    config.routes.iter().filter_map(show).collect()
}

fn show(target: &Target) -> Value {
    let address = match &target.config.address {
        TargetAddress::Socket(address) => address.to_string(),
        TargetAddress::Name { host, port } => format!("{host}:{port}"),
    };
    json!({ "id": target.config.id, "name": target.config.name, "address": address })
}
