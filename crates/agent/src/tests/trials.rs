//! A condition, tried on the last requests of several agents.

use std::time::Duration;

use model::condition::Condition;
use model::name::GatewayName;
use tonic::Code;

use super::hostile::{last_word, open};
use super::world::*;
use crate::proto::{FromAgent, Hello, from_agent, from_controller};
use crate::*;

fn request(path: &str, ms: u64) -> TriedRequest {
    TriedRequest { method: "GET".into(), path: path.into(), matches: false, age: Duration::from_millis(ms) }
}

fn hello(name: &str, tries: bool) -> from_agent::Kind {
    from_agent::Kind::Hello(Hello {
        name: name.into(),
        environment: "prod".into(),
        instance: format!("instance of {name}"),
        tries,
        ..Hello::default()
    })
}

async fn ask(controller: &Leader, gateway: &str, condition: &str) -> Tried {
    let (gateway, condition) = (GatewayName::parse(gateway).unwrap(), Condition::parse(condition).unwrap());
    controller.fleet.try_condition(&gateway, &condition).await
}

/// Asks until so many have answered: on a busy machine an answer may take longer than it is waited for.
async fn ask_all(controller: &Leader, gateway: &str, condition: &str, answered: usize) -> Tried {
    for _ in 0..20 {
        let tried = ask(controller, gateway, condition).await;
        if tried.answered == answered {
            return tried;
        }
    }
    panic!("{answered} never answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_agents_tell_is_put_together() {
    let world = World::new();
    let controller = world.controller().await;
    assert_eq!(ask(&controller, "shop", "has header x").await, Tried::default(), "nobody is there");

    let (a, b) =
        (world.agent("a", &[controller.address]).await, world.agent("b", &[controller.address]).await);
    world.environment.serves("a", 1).await;
    world.environment.serves("b", 1).await;
    *a.proxy.requests.lock().unwrap() = vec![request("/new", 5), request("/old", 2_000)];
    *b.proxy.requests.lock().unwrap() = vec![request("/between", 900)];
    let tried = ask_all(&controller, "shop", "< path_beg /between >", 2).await;
    let told: Vec<(&str, bool)> = tried.requests.iter().map(|r| (r.path.as_str(), r.matches)).collect();
    assert_eq!(told, [("/new", false), ("/between", true), ("/old", false)]);
    assert_eq!((tried.answered, tried.agents), (2, 2));

    // A gateway that they do not serve.
    let tried = ask(&controller, "other", "has header x").await;
    assert_eq!((tried.answered, tried.agents, tried.requests.len()), (0, 2, 0));

    // One of an older version is not asked, and not waited for.
    let mut old = open(&world, &controller, hello("old", false)).await.unwrap();
    // The best of some tries counts.
    let mut took = Vec::new();
    while took.iter().all(|took| *took >= Duration::from_millis(900)) {
        assert!(took.len() < 10, "{took:?}");
        let begun = std::time::Instant::now();
        let tried = ask_all(&controller, "shop", "has header x", 2).await;
        assert_eq!((tried.agents, tried.requests.len()), (3, 3));
        took.push(begun.elapsed());
    }
    while let Ok(Ok(Some(message))) =
        tokio::time::timeout(Duration::from_millis(300), old.from_controller.message()).await
    {
        assert!(!matches!(message.kind, Some(from_controller::Kind::Trial(_))), "it was asked");
    }

    // One that has left is no part of it.
    a.client.stop(Duration::from_secs(5)).await;
    eventually("a to have left", || world.environment.known("a").is_none().then_some(())).await;
    let tried = ask_all(&controller, "shop", "has header x", 1).await;
    assert_eq!(tried.requests.len(), 1);
}

/// One that says nothing costs a second, not the answer; one that says too much is sent away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_does_not_answer_holds_nobody_up() {
    let world = World::new();
    let controller = world.controller().await;
    let good = world.agent("good", &[controller.address]).await;
    world.environment.serves("good", 1).await;
    *good.proxy.requests.lock().unwrap() = (0..80).map(|i| request("/", i)).collect();
    let mut raw = open(&world, &controller, hello("mute", true)).await.unwrap();
    let begun = std::time::Instant::now();
    let tried = ask_all(&controller, "shop", "has header x", 1).await;
    assert_eq!((tried.agents, tried.requests.len()), (2, 50));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    let number = loop {
        let message = raw.from_controller.message().await.unwrap().expect("a question");
        if let Some(from_controller::Kind::Trial(trial)) = message.kind {
            assert_eq!((trial.gateway.as_str(), trial.most), ("shop", 50));
            break trial.number;
        }
    };
    // Too late, and unasked: neither does harm.
    for number in [number, 999] {
        let kind = from_agent::Kind::Tried(proto::Tried { number, known: true, requests: Vec::new() });
        raw.to_controller.send(FromAgent { kind: Some(kind) }).await.unwrap();
    }
    let asking = {
        let fleet = std::sync::Arc::clone(&controller.fleet);
        tokio::spawn(async move {
            let condition = Condition::parse("has header x").unwrap();
            fleet.try_condition(&GatewayName::parse("shop").unwrap(), &condition).await
        })
    };
    let number = loop {
        let message = raw.from_controller.message().await.unwrap().expect("a question");
        if let Some(from_controller::Kind::Trial(trial)) = message.kind {
            break trial.number;
        }
    };
    let requests = vec![proto::TriedRequest::default(); 51];
    let kind = from_agent::Kind::Tried(proto::Tried { number, known: true, requests });
    raw.to_controller.send(FromAgent { kind: Some(kind) }).await.unwrap();
    let status = last_word(&mut raw).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(asking.await.unwrap().answered, 1);
}
