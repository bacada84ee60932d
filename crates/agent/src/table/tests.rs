use model::gateway::{Balance, Period, TargetCare};
use model::name::RoutePath;
use model::port::Protocol;
use proptest::prelude::*;
use routing::config::RouteConfig;

use super::*;

/// A gateway whose name and weight come from numbers.
pub(crate) fn gateway(name: &str, weight: u16) -> Arc<GatewayConfig> {
    Arc::new(GatewayConfig {
        name: GatewayName::parse(name).unwrap(),
        lookup: format!("lookup-{name}"),
        port: Some(9000),
        protocol: Protocol::Http,
        hosts: vec![format!("{name}.example")],
        sticky: None,
        sticky_generation: 0,
        tls: None,
        target_tls: None,
        target_care: None,
        proxy_protocol: false,
        routes: vec![RouteConfig {
            path: RoutePath::parse("(1.0)").unwrap(),
            lookup: "r".into(),
            weight,
            condition: None,
            strength: 10_000,
            balance: Balance::default(),
            rewrites: Vec::new(),
            targets: Vec::new(),
        }],
    })
}

pub(crate) fn config(revision: u64, gateways: &[(&str, u16)]) -> Arc<RoutingConfig> {
    let gateways = gateways.iter().map(|(name, weight)| gateway(name, *weight)).map(|g| (g.name.clone(), g));
    Arc::new(RoutingConfig { revision, gateways: gateways.collect() })
}

fn put(parts: VecDeque<proto::Table>, base: &Table) -> Result<Table, TableError> {
    let mut assembler = Assembler::default();
    let mut whole = None;
    for part in parts {
        assert!(whole.is_none(), "nothing follows the last part");
        whole = assembler.take(part, base)?;
    }
    Ok(whole.expect("the last part completes it"))
}

#[test]
fn a_table_travels_whole_then_by_what_changed() {
    let first = Encoded::new(&config(1, &[("a", 1), ("b", 1), ("c", 1)]), &Encoded::default());
    let table = put(first.parts(None), &Table::default()).unwrap();
    assert_eq!(*table.config, *config(1, &[("a", 1), ("b", 1), ("c", 1)]));

    let second = Encoded::new(&config(2, &[("a", 1), ("b", 2), ("d", 1)]), &first);
    let parts = second.parts(Some(&first));
    assert_eq!(parts.len(), 1);
    let changed: Vec<&str> = parts[0].changed.iter().map(|gateway| gateway.name.as_str()).collect();
    assert_eq!((changed, parts[0].removed.clone()), (vec!["b", "d"], vec!["c".to_owned()]));
    let next = put(parts, &table).unwrap();
    assert_eq!(*next.config, *config(2, &[("a", 1), ("b", 2), ("d", 1)]));
    let a = GatewayName::parse("a").unwrap();
    assert!(
        Arc::ptr_eq(&table.config.gateways[&a], &next.config.gateways[&a]),
        "unchanged is unchanged for the proxy"
    );

    // Only the revision is another.
    let third = Encoded::new(&config(3, &[("a", 1), ("b", 2), ("d", 1)]), &second);
    let parts = third.parts(Some(&second));
    assert!(parts[0].changed.is_empty() && parts[0].removed.is_empty());
    assert_eq!(put(parts, &next).unwrap().config.revision, 3);
}

#[test]
fn a_change_on_another_table_is_noticed() {
    let first = Encoded::new(&config(1, &[("a", 1), ("b", 1)]), &Encoded::default());
    let second = Encoded::new(&config(2, &[("a", 1), ("b", 2)]), &first);
    let other =
        put(Encoded::new(&config(1, &[("a", 7)]), &Encoded::default()).parts(None), &Table::default());
    let error = put(second.parts(Some(&first)), &other.unwrap()).unwrap_err();
    assert_eq!(error, TableError::Digest(2));

    let mut assembler = Assembler::default();
    let part = |revision| proto::Table { revision, full: true, ..proto::Table::default() };
    assert_eq!(assembler.take(part(1), &Table::default()), Ok(None));
    assert_eq!(assembler.take(part(2), &Table::default()), Err(TableError::Mixed { part: 2, amid: 1 }));
    let named = proto::Table {
        changed: vec![proto::Gateway { name: String::new(), config: Bytes::new() }],
        ..part(1)
    };
    assert!(matches!(assembler.take(named, &Table::default()), Err(TableError::Name { .. })));
}

/// How targets are looked after travels with the rest of the gateway and is on the disk; a section that only a later version knows is kept
/// and ignored.
#[test]
fn care_travels_and_what_comes_later_is_ignored() {
    let care = TargetCare { requests: Some(7), slow_start: Period::parse("30s"), ..TargetCare::default() };
    let mut careful = (*gateway("a", 1)).clone();
    careful.target_care = Some(care.clone());
    let gateways = [(careful.name.clone(), Arc::new(careful))].into_iter().collect();
    let mut sent = Encoded::new(&RoutingConfig { revision: 1, gateways }, &Encoded::default());
    let name = GatewayName::parse("a").unwrap();
    let piece = sent.gateways.get_mut(&name).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&piece.json).unwrap();
    assert_eq!(json["target_care"], serde_json::json!({"requests": 7, "slow_start": "30s"}));
    json["of_a_later_version"] = serde_json::json!({"requests": 9});
    piece.json = Bytes::from(json.to_string());
    piece.digest = Sha256::digest(&piece.json).into();
    sent.digest = digest(sent.gateways.iter().map(|(name, piece)| (name, &piece.digest)));
    let table = put(sent.parts(None), &Table::default()).unwrap();
    assert!(table.problems.is_empty(), "{:?}", table.problems);
    let kept: Vec<(String, Bytes)> =
        table.gateways().map(|(name, json)| (name.to_string(), json.clone())).collect();
    let read = Table::read(1, kept.iter().map(|(name, json)| (name.as_str(), json.clone()))).unwrap();
    assert_eq!(read.digest, table.digest);
    assert_eq!(read.config.gateways[&name].target_care, Some(care));
}

/// A gateway that an older agent cannot read stays as it was there, and is a problem that people see.
#[test]
fn what_cannot_be_read_leaves_the_gateway_as_it_was() {
    let first = Encoded::new(&config(1, &[("a", 1), ("b", 1)]), &Encoded::default());
    let table = put(first.parts(None), &Table::default()).unwrap();
    let mut second = Encoded::new(&config(2, &[("a", 2), ("b", 2)]), &first);
    let json = Bytes::from_static(br#"{"name":"b","routes":"of a later version"}"#);
    let piece = second.gateways.get_mut(&GatewayName::parse("b").unwrap()).unwrap();
    piece.digest = Sha256::digest(&json).into();
    piece.json = json;
    second.digest = digest(second.gateways.iter().map(|(name, piece)| (name, &piece.digest)));
    let next = put(second.parts(Some(&first)), &table).unwrap();
    assert_eq!(*next.config, *config(2, &[("a", 2), ("b", 1)]));
    assert!(next.problems[0].1.contains("upgrade the agent"), "{:?}", next.problems);
    // Of the same table from the disk there is nothing to fall back on.
    let gateways: Vec<(String, Bytes)> =
        next.gateways().map(|(name, json)| (name.to_string(), json.clone())).collect();
    let read = Table::read(2, gateways.iter().map(|(name, json)| (name.as_str(), json.clone()))).unwrap();
    assert_eq!((read.digest, read.config.gateways.len(), read.problems.len()), (next.digest, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever the tables are, in however many steps: the agent has what the controller has.
    #[test]
    fn any_sequence_of_tables_arrives(tables in proptest::collection::vec(proptest::collection::btree_map(0_u8..20, 0_u16..3, 0..12), 1..8)) {
        let mut encoded = Encoded::default();
        let mut base = None;
        let mut held = Table::default();
        for (step, table) in tables.iter().enumerate() {
            let names: Vec<(String, u16)> = table.iter().map(|(name, weight)| (format!("g{name}"), *weight)).collect();
            let names: Vec<(&str, u16)> = names.iter().map(|(name, weight)| (name.as_str(), *weight)).collect();
            let config = config(step as u64 + 1, &names);
            let next = Encoded::new(&config, &encoded);
            held = put(next.parts(base.as_ref()), &held).unwrap();
            prop_assert_eq!(&*held.config, &*config);
            encoded = Encoded::new(&config, &encoded);
            base = Some(next);
        }
    }
}

#[test]
fn large_tables_come_in_parts() {
    let names: Vec<String> = (0..3_000).map(|n| format!("gateway-{n}")).collect();
    let all: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let encoded = Encoded::new(&config(1, &all), &Encoded::default());
    let parts = encoded.parts(None);
    assert!(parts.len() > 2, "{}", parts.len());
    let size = |part: &proto::Table| part.changed.iter().map(|gateway| gateway.config.len()).sum::<usize>();
    assert!(parts.iter().all(|part| size(part) <= PART_BYTES));
    assert_eq!(put(parts, &Table::default()).unwrap().config.gateways.len(), 3_000);
}
