//! What must hold for any condition and any request. The function panics where it does not; `fuzz/` feeds it, and so does the
//! property below. Not part of an ordinary build.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use model::condition::Condition;
use model::gateway::{Balance, Sticky};
use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use model::rewrite::Rewrite;

use crate::config::{
    GatewayConfig, RouteConfig, RoutingConfig, TargetAddress, TargetConfig, TargetKind, TargetProtocol,
};
use crate::decide::{Dice, Reason, decide, rewrite};
use crate::request::{Fields, RequestHead};
use crate::table::RoutingTable;

/// Always the same roll.
struct Fixed(u64);

impl Dice for Fixed {
    fn roll(&mut self) -> u64 {
        self.0
    }
}

/// Fields as bytes, which need not be text.
struct Lines<'a>(Vec<(&'a [u8], &'a [u8])>);

impl Fields for Lines<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> std::ops::ControlFlow<()>) {
        for (own, value) in &self.0 {
            if own.eq_ignore_ascii_case(name.as_bytes()) && visit(value).is_break() {
                return;
            }
        }
    }
}

/// Lines: a condition, a target with host, a rewrite, then fields. Whatever they say: the request goes to the route with the condition
/// exactly when that holds, what `not` says is the opposite, and a rewrite makes a path that fits a request line.
pub fn decision(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut text = || String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let (condition, start, rule) = (text(), text(), text());
    let (target, host) = start.split_once(' ').unwrap_or((&start, ""));
    // What the proxy lets through: see its reading of targets.
    let target =
        match target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') && target.starts_with('/') {
            true => target,
            false => "/",
        };
    let fields = Lines(
        lines
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                Some((&line[..colon], line[colon + 1..].trim_ascii()))
            })
            .collect(),
    );
    let view = RequestHead {
        method: "GET",
        target,
        host,
        fields: &fields,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 80,
        tls: false,
    };
    let rewrites: Vec<Rewrite> = Rewrite::parse(&rule).into_iter().collect();
    let Ok(condition) = Condition::parse(&condition) else { return };
    let holds = takes_condition(&condition, &rewrites, None, &view);
    if let Ok(negated) = Condition::parse(&format!("not ({})", condition.expression())) {
        assert_ne!(takes_condition(&negated, &rewrites, None, &view), holds, "{condition}");
    }
    // With cookies it may be another route, but nothing worse.
    takes_condition(&condition, &rewrites, Some(Sticky::Route), &view);
}

/// Whether the request takes the route with the condition.
fn takes_condition(
    condition: &Condition,
    rewrites: &[Rewrite],
    sticky: Option<Sticky>,
    view: &RequestHead<'_>,
) -> bool {
    let route = |path: &str, weight, condition: Option<&Condition>| RouteConfig {
        path: RoutePath::parse(path).expect("a path"),
        lookup: path.into(),
        weight,
        strength: if condition.is_some() { 10_000 } else { 0 },
        condition: condition.cloned(),
        balance: Balance::Uri,
        rewrites: rewrites.to_vec(),
        targets: vec![TargetConfig {
            id: path.into(),
            name: path.into(),
            address: TargetAddress::Socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))),
            kind: TargetKind::Instance,
            protocol: TargetProtocol::default(),
            tls: None,
        }],
    };
    let gateway = GatewayConfig {
        name: GatewayName::parse("g").expect("a name"),
        lookup: "g".into(),
        port: Some(80),
        protocol: Protocol::Http,
        hosts: Vec::new(),
        sticky,
        sticky_generation: 0,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        routes: vec![route("a", 10_000, None), route("b", 0, Some(condition))],
    };
    let name = gateway.name.clone();
    let config = RoutingConfig { revision: 1, gateways: [(name, Arc::new(gateway))].into() };
    let table = RoutingTable::compile(&config, &RoutingTable::default(), &mut || 0);
    let gateway = table.gateways().next().expect("the gateway");
    let decision = decide(gateway, view, &mut Fixed(0));
    let chosen = decision.chosen.expect("a target");
    if let Some(path) = rewrite(gateway, chosen.route, view) {
        assert!(path.starts_with('/') && path.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{path:?}");
    }
    assert!(
        decision.set_cookies.iter().all(|cookie| cookie.bytes().all(|byte| (b' '..0x7f).contains(&byte)))
    );
    assert!(decision.reason != Reason::Condition || chosen.route == 1);
    decision.reason == Reason::Condition
}

#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::damage::damaged;
    use super::*;
    use proptest::prelude::*;

    const SEEDS: &[&[u8]] = &[
        include_bytes!("../../../fuzz/seeds/decision/header"),
        include_bytes!("../../../fuzz/seeds/decision/raw"),
        include_bytes!("../../../fuzz/seeds/decision/cookie"),
    ];
    const WORDS: &[&str] = &[
        "not ",
        "and ",
        "or ",
        "(",
        ")",
        "<",
        ">",
        "==",
        "has",
        "'",
        "%[path]",
        "%[req.hdr(x)]",
        "\n",
        " ",
        "%",
        "?",
        "/",
        ";",
        ",",
        "vamp_r_g=0.a",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn decisions(bytes in damaged(SEEDS, WORDS)) {
            decision(&bytes);
        }
    }
}
