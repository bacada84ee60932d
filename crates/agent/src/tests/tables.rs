//! Tables: arrive, are acknowledged, survive.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::name::GatewayName;

use super::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_in_force_everywhere_and_told() {
    let world = World::new();
    let controller = world.controller().await;
    let environment = &world.environment;
    let mut agents = Vec::new();
    for name in ["a", "b", "c"] {
        agents.push(world.agent(name, &[controller.address]).await);
        environment.serves(name, 1).await;
    }
    environment.publish(2, &[("shop", 2), ("cart", 1)]);
    for (name, agent) in ["a", "b", "c"].iter().zip(&agents) {
        environment.serves(name, 2).await;
        assert_eq!(*agent.proxy.table().unwrap(), *config(2, &[("shop", 2), ("cart", 1)]));
        assert!(agent.status().ready());
    }
    // A problem that comes later, and goes.
    let shop = GatewayName::parse("shop").unwrap();
    agents[0].proxy.report(vec![(shop.clone(), "port 9000 is taken".into())]);
    let problems = || environment.known("a").map(|known| known.problems);
    eventually("the problem", || {
        (problems()? == [(shop.clone(), "port 9000 is taken".to_owned())]).then_some(())
    })
    .await;
    agents[0].proxy.report(Vec::new());
    eventually("no problem", || problems()?.is_empty().then_some(())).await;

    // A goodbye is not waited for.
    let agent = agents.remove(1);
    agent.client.stop(Duration::from_secs(5)).await;
    eventually("b to have left", || environment.known("b").is_none().then_some(())).await;
    assert_eq!(controller.fleet.agents().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_newest_table_is_put_in_force_by_a_slow_agent() {
    let world = World::new();
    let controller = world.controller().await;
    let agent = world.agent("a", &[controller.address]).await;
    world.environment.serves("a", 1).await;
    // All that are published meanwhile are one.
    *agent.proxy.slow.lock().unwrap() = Duration::from_secs(1);
    for revision in 2..=200_u16 {
        world.environment.publish(revision.into(), &[("shop", revision)]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    *agent.proxy.slow.lock().unwrap() = Duration::ZERO;
    world.environment.serves("a", 200).await;
    let applies = agent.proxy.applies.load(Ordering::Relaxed);
    assert!(applies < 30, "{applies} tables were put in force");
    assert_eq!(*agent.proxy.table().unwrap(), *config(200, &[("shop", 200)]));
}

/// The controller is killed amid changes; what it left is served, also after the agent's own restart, and the next controller
/// finds the agents where they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_serve_without_a_controller_and_go_on_with_the_next() {
    let world = World::new();
    let controller = world.controller().await;
    let wire = Wire::to(controller.address).await;
    let agent = world.agent("a", &[wire.address]).await;
    world.environment.serves("a", 1).await;
    world.environment.publish(2, &[("shop", 2), ("cart", 3)]);
    world.environment.serves("a", 2).await;
    wire.leads_to(None);
    controller.kill().await;
    wire.cut();
    agent.broken("").await;
    assert_eq!(*agent.proxy.table().unwrap(), *config(2, &[("shop", 2), ("cart", 3)]));
    agent.client.stop(Duration::from_secs(5)).await;

    // Restarted, with nobody there.
    let agent = world.agent("a", &[wire.address]).await;
    assert!(agent.status().ready(), "the table on disk is in force when start returns");
    assert_eq!(*agent.proxy.table().unwrap(), *config(2, &[("shop", 2), ("cart", 3)]));

    let controller = world.controller().await;
    wire.leads_to(Some(controller.address));
    agent.connected().await;
    world.environment.publish(3, &[("shop", 2)]);
    world.environment.serves("a", 3).await;
    assert_eq!(*agent.proxy.table().unwrap(), *config(3, &[("shop", 2)]));
}

/// An agent that has the table already is not sent it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_table_does_not_travel_again() {
    let world = World::new();
    let names: Vec<String> = (0..500).map(|n| format!("gateway-{n}")).collect();
    let all: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    world.environment.publish(5, &all);
    let controller = world.controller().await;
    let wire = Wire::to(controller.address).await;
    let agent = world.agent("a", &[wire.address]).await;
    world.environment.serves("a", 5).await;
    let before = agent.proxy.table().unwrap();
    wire.cut();
    agent.broken("").await;
    agent.connected().await;
    eventually("it to be put in force again", || {
        (agent.proxy.applies.load(Ordering::Relaxed) == 2).then_some(())
    })
    .await;
    let after = agent.proxy.table().unwrap();
    let same =
        before.gateways.values().zip(after.gateways.values()).all(|(a, b)| std::sync::Arc::ptr_eq(a, b));
    assert!(same && after.gateways.len() == 500, "every gateway is the very same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_hangs_is_found_out() {
    let world = World::new();
    let controller = world.controller().await;
    let agent = world.agent("a", &[controller.address]).await;
    world.environment.serves("a", 1).await;
    agent.proxy.hung.store(true, Ordering::Relaxed);
    world.environment.publish(2, &[("shop", 9)]);
    // It goes on to beat, and so is not lost within a lease, but not for ever either.
    eventually("the stream to end", || world.environment.known("a").filter(|known| known.lost)).await;
    assert_eq!(controller.fleet.agents()[0].revision, Some(1));
}

/// A few milliseconds on a machine with nothing else to do (`--nocapture` prints them); the bound is for those that are busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "a measurement")]
async fn a_change_takes_milliseconds_with_three_agents() {
    let world = World::new();
    let controller = world.controller().await;
    let names = ["a", "b", "c"];
    let mut agents = Vec::new();
    for name in names {
        agents.push(world.agent(name, &[controller.address]).await);
        world.environment.serves(name, 1).await;
    }
    let environment = &world.environment;
    let mut times = Vec::new();
    for revision in 2..=101_u16 {
        let mut changed = environment.changed.subscribe();
        let begun = Instant::now();
        environment.publish(revision.into(), &[("shop", revision)]);
        while !names.iter().all(|name| environment.known(name).unwrap().revision == Some(revision.into())) {
            changed.changed().await.unwrap();
        }
        times.push(begun.elapsed());
    }
    times.sort();
    println!("median {:?}, 99 % {:?}", times[50], times[98]);
    assert!(times[50] < Duration::from_millis(500), "{:?}", times[50]);
}

/// An environment without gateways has a table too: an agent that has it is ready, also when it starts alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_table_is_a_table() {
    let world = World::new();
    world.environment.publish(0, &[]);
    let controller = world.controller().await;
    let agent = world.agent("a", &[controller.address]).await;
    world.environment.serves("a", 0).await;
    assert!(agent.status().ready());
    let file = world.data("a").join("table");
    eventually("the table on disk", || file.exists().then_some(())).await;
    agent.client.stop(Duration::from_secs(5)).await;
    controller.kill().await;
    let agent = world.agent("a", &[]).await;
    assert!(agent.status().ready());
}
