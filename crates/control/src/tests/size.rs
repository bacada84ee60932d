//! What a large environment costs. The numbers are asserted in release builds: `cargo test --release -p control size`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::instance::Observation;

use super::world::{World, document, pod};
use crate::{Change, Mode};

const GATEWAYS: usize = if cfg!(debug_assertions) { 40 } else { 1_000 };
const PODS_EACH: usize = 5;

/// The best of several runs: what is asserted is what the code costs, not what else the machine does.
fn best(runs: usize, mut run: impl FnMut() -> Duration) -> Duration {
    (0..runs).map(|_| run()).min().unwrap()
}

#[test]
fn a_thousand_gateways() {
    let mut world = World::new();
    for gateway in 0..GATEWAYS {
        for number in 0..PODS_EACH {
            let labels = format!("app=app{gateway},version={number},tier=web,team=t{}", gateway % 7);
            let ip = [10, (gateway >> 8) as u8, gateway as u8, number as u8];
            let pod = pod(&format!("app{gateway}-{number}"), &labels, ip, &[8080]);
            world.pods.insert(pod.name.clone(), pod);
        }
    }
    for gateway in 0..GATEWAYS {
        let yaml =
            format!("{{name: g{gateway}, selector: 'label(app)(app{gateway}) && label(version)((.*))'}}");
        world.change(Change::Gateway { document: document(&yaml), mode: Mode::Put }).unwrap();
    }
    let start = Instant::now();
    world.look();
    let first = start.elapsed();
    assert_eq!(world.entry("g7").view.routes.len(), PODS_EACH);

    let mut weight = 0;
    let mut written = Vec::new();
    for _ in 0..20 {
        weight += 1;
        let yaml = format!(
            "{{name: g7, selector: 'label(app)(app7) && label(version)((.*))', routes: {{'(0)': {{weight: {}%}}, '(1)': {{weight: {weight}%}}}}}}",
            100 - weight
        );
        written.push(Change::Gateway { document: document(&yaml), mode: Mode::Put });
    }
    let put = best(20, || {
        let request = crate::Request::new(written.pop().unwrap(), "ann");
        let start = Instant::now();
        let mut prepared = world.core.prepare(&request, world.now).unwrap();
        let planned = start.elapsed();
        let revision = world.core.revision() + 1;
        let start = Instant::now();
        assert!(world.core.apply(&mut prepared, revision));
        planned + start.elapsed()
    });

    let mut turn = false;
    let observe = best(10, || {
        turn = !turn;
        for number in 0..20 {
            let pod = format!("app{}-{}", number % GATEWAYS, number % PODS_EACH);
            world.pods.get_mut(&pod).unwrap().ready = !turn;
        }
        let instances = Arc::new(world.pods.values().cloned().map(Arc::new).collect());
        let observation = Observation { instances, problem: None, complete: true };
        let start = Instant::now();
        world.core.observe(&observation);
        let mut prepared = world.core.prepare_automatic(world.now).unwrap();
        let revision = world.core.revision() + 1;
        world.core.apply(&mut prepared, revision);
        start.elapsed()
    });
    println!("{GATEWAYS} gateways: first look {first:?}, one PUT {put:?}, 20 pods changed {observe:?}");
    if !cfg!(debug_assertions) {
        assert!(put < Duration::from_millis(1), "a PUT takes {put:?}");
        assert!(observe < Duration::from_millis(100), "20 changed pods take {observe:?}");
        assert!(first < Duration::from_secs(10), "the first look takes {first:?}");
    }
}
