//! What a decision costs: no allocation, and how long.

use std::hint::black_box;
use std::time::Instant;

use model::gateway::{Balance, Sticky};
use routing::config::{GatewayConfig, RoutingConfig};
use routing::decide::decide;
use routing::table::{Gateway, RoutingTable};

use crate::common::{
    Client, Request, RouteExt, Seeded, compile, get, name, revision, route, set_down, shop, sticky,
};

fn allocations(gateway: &Gateway, request: &Request) -> u64 {
    let head = request.head();
    let mut dice = Seeded(1);
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            black_box(decide(gateway, black_box(&head), &mut dice));
        }
    });
    measured.count_total
}

fn three() -> GatewayConfig {
    shop([
        route("a", 70).targets(3),
        route("b", 20).targets(3),
        route("c", 10).targets(3).when("user-agent == Firefox and header accept has v2", 50),
    ])
}

fn browser(agent: &str) -> Request {
    get("/api/items?id=7")
        .with("Host", "shop.example:9050")
        .with("User-Agent", agent)
        .with("Accept", "text/html,application/xhtml+xml,application/vnd.sava.v2+json;q=0.8")
        .with("Accept-Encoding", "gzip, br")
        .with("Cookie", "session=0123456789abcdef; theme=dark")
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

#[test]
fn decisions_do_not_allocate() {
    let request = browser(FIREFOX);
    let check = |what: &str, gateway: &Gateway, request: &Request| {
        assert_eq!(allocations(gateway, request), 0, "{what}");
    };
    let gateway = compile(three());
    check("weights, conditions", &gateway, &request);
    set_down(&gateway, 0, 0, true);
    set_down(&gateway, 0, 1, true);
    set_down(&gateway, 1, 0, true);
    set_down(&gateway, 1, 1, true);
    set_down(&gateway, 1, 2, true);
    check("re-routed", &gateway, &request);
    for balance in [
        Balance::LeastConnections,
        Balance::Source,
        Balance::Uri,
        Balance::UrlParameter("id".into()),
        Balance::Header("accept".into()),
        Balance::Random,
    ] {
        let what = balance.to_string();
        check(&what, &compile(shop([route("a", 100).targets(5).balance(balance)])), &request);
    }
    let gateway = compile(sticky(three(), Sticky::Instance));
    let mut client = Client::default();
    for _ in 0..2 {
        client.send(&gateway, &request);
    }
    let jar: Vec<String> = client.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
    check("sticky with cookies", &gateway, &request.clone().with("Cookie", &jar.join("; ")));
    assert!(allocations(&gateway, &request) > 0, "setting a cookie does allocate: the counter works");
    let raw = "hdr_sub(user-agent) -i android or < url_param(id) 8 > or < cook(theme) light > or < src 10.0.0.0/8 > or < path_dir web >";
    let raw = raw.replacen("hdr_sub(user-agent) -i android", "< hdr_sub(user-agent) -i android >", 1);
    check("raw matchers", &compile(shop([route("a", 100).when(&raw, 100)])), &request);
}

#[test]
fn looking_up_hosts_does_not_allocate() {
    let config = GatewayConfig { hosts: vec!["shop.vamp".into()], ..three() };
    let table = RoutingTable::compile(&revision(1, [config]), &RoutingTable::default(), &mut || 0);
    let measured = allocation_counter::measure(|| {
        for host in ["shop.vamp", "SHOP.vamp:80", "nobody.vamp", ""] {
            black_box(table.virtual_host(black_box(host)));
        }
    });
    assert_eq!(measured.count_total, 0);
}

/// `cargo test --release -p routing -- --ignored --nocapture takes_how_long`
#[test]
#[ignore = "measures time: only meaningful alone and optimised"]
fn takes_how_long() {
    let time = |what: &str, count: u32, work: &mut dyn FnMut()| {
        work();
        let start = Instant::now();
        for _ in 0..count {
            work();
        }
        println!("{what}: {:.1} ns", start.elapsed().as_secs_f64() * 1e9 / f64::from(count));
    };
    let mut dice = Seeded(1);
    let mut decision = |what: &str, gateway: &Gateway, request: &Request| {
        let head = request.head();
        time(what, 1_000_000, &mut || {
            black_box(decide(gateway, black_box(&head), &mut dice));
        });
    };
    let gateway = compile(three());
    decision("3 routes, condition of two terms holds", &gateway, &browser(FIREFOX));
    decision(
        "3 routes, condition of two terms does not hold",
        &gateway,
        &browser("Mozilla/5.0 Chrome/126.0 Safari/537.36"),
    );
    decision("weights only", &compile(shop([route("a", 70), route("b", 20), route("c", 10)])), &get("/"));
    let sticky_gateway = compile(sticky(three(), Sticky::Route));
    let mut client = Client::default();
    client.send(&sticky_gateway, &get("/"));
    let (name_, value) = client.jar[0].clone();
    decision("sticky", &sticky_gateway, &get("/").with("Cookie", &format!("session=0123; {name_}={value}")));

    let many = revision(
        1,
        (0..10_000).map(|n| GatewayConfig {
            name: name(&format!("g{n}")),
            hosts: vec![format!("g{n}.vamp")],
            ..three()
        }),
    );
    let table = RoutingTable::compile(&many, &RoutingTable::default(), &mut || 0);
    time("compiling 10,000 gateways anew", 3, &mut || {
        black_box(RoutingTable::compile(&many, &RoutingTable::default(), &mut || 0));
    });
    let changed = RoutingConfig { revision: 2, gateways: many.gateways.clone() };
    time("compiling 10,000 gateways, none changed", 20, &mut || {
        black_box(RoutingTable::compile(&changed, &table, &mut || 0));
    });
}
