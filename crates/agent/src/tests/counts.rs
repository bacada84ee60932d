//! What agents count is what the controller shows, whatever happens in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::name::{GatewayName, RoutePath};
use model::port::Protocol;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use routing::decide::Reason;
use telemetry::{Outcome, Phase, Telemetry};

use super::world::*;
use crate::Incident;

/// Sums by series: requests, errors, bytes, latencies.
fn sums<'a>(all: impl IntoIterator<Item = &'a Arc<Telemetry>>) -> BTreeMap<String, [u64; 8]> {
    let mut sums: BTreeMap<String, [u64; 8]> = BTreeMap::new();
    for telemetry in all {
        for series in telemetry.totals() {
            let totals = &series.totals;
            let latencies = telemetry.series(&series.key).map_or(0, |series| series.latencies().count());
            let phases = telemetry.series(&series.key).map_or(0, |series| {
                Phase::ALL
                    .into_iter()
                    .map(|phase| series.phase(phase))
                    .fold(0, |sum, phase| sum + phase.nanos + phase.times.count())
            });
            let errors = totals.errors.iter().map(|(_, count)| count).sum();
            let numbers = [
                totals.requests(),
                totals.by_class()[5],
                errors,
                totals.received,
                totals.sent,
                totals.total_nanos,
                latencies,
                phases,
            ];
            let sum = sums.entry(format!("{:?}", series.key)).or_default();
            sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
    }
    sums.retain(|_, sum| *sum != [0; 8]);
    sums
}

fn traffic(telemetry: &Telemetry, random: &mut TestRng) {
    let gateway = GatewayName::parse(["shop", "cart"][random.next_u32() as usize % 2]).unwrap();
    let route = RoutePath::parse(["(1.0)", "(2.0)"][random.next_u32() as usize % 2]).unwrap();
    let id = format!("{:x}", random.next_u32() % 4);
    let total = Duration::from_micros(u64::from(random.next_u32() % 100_000));
    let mut outcome = Outcome::new([200, 404, 503][random.next_u32() as usize % 3], Reason::Weight, total);
    outcome.received = u64::from(random.next_u32() % 1000);
    outcome.sent = u64::from(random.next_u32() % 100_000);
    if random.next_u32().is_multiple_of(7) {
        outcome = outcome.with_error("connect");
    }
    telemetry.gateway(&gateway, Protocol::Http).record(0, &outcome);
    outcome.connected = random.next_u32().is_multiple_of(3).then_some(total / 3);
    telemetry.route(&gateway, &route).record(0, &outcome);
    telemetry.route(&gateway, &route).record_phases(0, &outcome);
    telemetry.instance(&gateway, &route, &id, "pod").record(0, &outcome);
}

fn incident(number: usize) -> Incident {
    Incident {
        gateway: GatewayName::parse("shop").unwrap(),
        route: RoutePath::parse("(1.0)").unwrap(),
        id: number.to_string(),
        name: format!("pod-{number}"),
        ejected: number.is_multiple_of(2),
    }
}

/// Three agents count while their wires are cut at any moment; what was counted is counted once, and what was noticed is told once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_are_exact_over_cuts_and_repeats() {
    let seeds = std::env::var("VAMP_SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u8> = seeds.map_or_else(|| (0..4).collect(), |seed| vec![seed]);
    for seed in seeds {
        let world = World::new();
        let controller = world.controller().await;
        let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let mut agents = Vec::new();
        for name in ["a", "b", "c"] {
            let wire = Wire::to(controller.address).await;
            agents.push((world.agent(name, &[wire.address]).await, wire));
        }
        let mut noticed = vec![Vec::new(); 3];
        for number in 0..300 {
            let which = random.next_u32() as usize % 3;
            let (agent, wire) = &agents[which];
            agent.proxy.incidents.lock().unwrap().push(incident(number));
            noticed[which].push(incident(number));
            (0..random.next_u32() % 10).for_each(|_| traffic(&agent.telemetry, &mut random));
            if random.next_u32().is_multiple_of(20) {
                wire.cut();
            }
            if random.next_u32().is_multiple_of(4) {
                tokio::time::sleep(Duration::from_micros(u64::from(random.next_u32() % 20_000))).await;
            }
        }
        let counted = sums(agents.iter().map(|(agent, _)| &agent.telemetry));
        let there = || sums([&world.environment.telemetry]);
        eventually(&format!("the sums of seed {seed}"), || {
            let total = |sums: &BTreeMap<String, [u64; 8]>| sums.values().map(|sum| sum[0]).sum::<u64>();
            (total(&there()) >= total(&counted)).then_some(())
        })
        .await;
        // And not a moment later more.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(there(), counted, "seed {seed}");
        let told = world.environment.noticed.lock().unwrap().clone();
        for (name, noticed) in ["a", "b", "c"].into_iter().zip(&noticed) {
            let of_agent = told.iter().filter(|(agent, _)| agent == name);
            let of_agent: Vec<Incident> = of_agent.map(|(_, incident)| incident.clone()).collect();
            assert!(
                of_agent == *noticed,
                "seed {seed}, agent {name}: {} of {}",
                of_agent.len(),
                noticed.len()
            );
        }
        for (agent, _) in agents {
            agent.client.stop(Duration::from_secs(5)).await;
        }
    }
}

/// What is counted last, while an agent drains, is reported before it leaves; what it has open goes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_requests_of_an_agent_count() {
    let world = World::new();
    let controller = world.controller().await;
    let mut settings = world.settings("a", &[controller.address]);
    // Not before it leaves.
    settings.report_period = Duration::from_secs(3600);
    let agent = world.agent_with(settings).await;
    world.environment.serves("a", 1).await;
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    (0..1000).for_each(|_| traffic(&agent.telemetry, &mut random));
    agent.telemetry.gateway(&GatewayName::parse("shop").unwrap(), Protocol::Http).begin(0);
    let counted = sums([&agent.telemetry]);
    agent.proxy.drain();
    tokio::time::sleep(Duration::from_millis(50)).await;
    agent.client.stop(Duration::from_secs(10)).await;
    assert_eq!(sums([&world.environment.telemetry]), counted);
    eventually("it to have left", || world.environment.known("a").is_none().then_some(())).await;
    let in_flight: u64 =
        world.environment.telemetry.totals().iter().map(|series| series.totals.in_flight).sum();
    assert_eq!(in_flight, 0);
}

/// Controller and agent are replaced at the same time: what the agent counted last waits for the next controller, if it comes soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_requests_wait_for_a_controller_that_is_away() {
    let world = World::new();
    let controller = world.controller().await;
    let wire = Wire::to(controller.address).await;
    let agent = world.agent("a", &[wire.address]).await;
    world.environment.serves("a", 1).await;
    wire.leads_to(None);
    wire.cut();
    agent.broken("").await;
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[2; 32]);
    (0..100).for_each(|_| traffic(&agent.telemetry, &mut random));
    let counted = sums([&agent.telemetry]);
    let leaving = tokio::spawn(agent.client.stop(Duration::from_secs(20)));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!leaving.is_finished());
    wire.leads_to(Some(controller.address));
    leaving.await.unwrap();
    assert_eq!(sums([&world.environment.telemetry]), counted);

    // Without anything to tell it just goes.
    let agent = world.agent("b", &[wire.address]).await;
    world.environment.serves("b", 1).await;
    wire.leads_to(None);
    wire.cut();
    agent.broken("").await;
    let begun = std::time::Instant::now();
    agent.client.stop(Duration::from_secs(20)).await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}
