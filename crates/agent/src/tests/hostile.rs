//! Agents that do not do as agreed.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};

use super::world::*;
use crate::client::connect::connect;
use crate::proto::agents_client::AgentsClient;
use crate::proto::{FromAgent, FromController, Hello, from_agent};
use crate::*;

/// A stream that says what the test wants it to say.
pub(super) struct Raw {
    pub(super) to_controller: mpsc::Sender<FromAgent>,
    pub(super) from_controller: Streaming<FromController>,
}

async fn channel(world: &World, controller: &Leader) -> AgentsClient<Channel> {
    let ca = folder::certificates(&world.folder.path().join("ca"));
    AgentsClient::new(connect(controller.address, &ca).await.unwrap())
}

pub(super) async fn open(
    world: &World,
    controller: &Leader,
    first: from_agent::Kind,
) -> Result<Raw, tonic::Status> {
    let (to_controller, messages) = mpsc::channel(64);
    to_controller.send(FromAgent { kind: Some(first) }).await.unwrap();
    let mut request = Request::new(ReceiverStream::new(messages));
    request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    let answer = channel(world, controller).await.follow(request).await?;
    Ok(Raw { to_controller, from_controller: answer.into_inner() })
}

fn hello(name: &str) -> from_agent::Kind {
    from_agent::Kind::Hello(Hello {
        name: name.into(),
        environment: "prod".into(),
        instance: format!("instance of {name}"),
        ..Hello::default()
    })
}

pub(super) async fn last_word(raw: &mut Raw) -> tonic::Status {
    loop {
        match raw.from_controller.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return tonic::Status::ok(""),
            Err(status) => return status,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_silent_are_dropped_and_hold_nobody_up() {
    let world = World::new();
    let controller = world.controller().await;
    let mut raw = open(&world, &controller, hello("mute")).await.unwrap();
    assert!(world.environment.known("mute").is_some());
    let status = last_word(&mut raw).await;
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "the agent is silent"));
    assert!(world.environment.known("mute").unwrap().lost, "it is named");
    assert_eq!(controller.fleet.agents()[0].state, AgentState::Lost);
}

/// It beats, so it lives, but it never reads; meanwhile tables change without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_dropped_and_others_are_served() {
    let world = World::new();
    let controller = world.controller().await;
    let good = world.agent("good", &[controller.address]).await;
    let raw = open(&world, &controller, hello("deaf")).await.unwrap();
    let beats = tokio::spawn(async move {
        let beat = || FromAgent { kind: Some(from_agent::Kind::Beat(proto::Beat {})) };
        while raw.to_controller.send(beat()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Only now: it was never read from.
        drop(raw.from_controller);
    });
    let names: Vec<String> = (0..300).map(|n| format!("gateway-{n}")).collect();
    let mut revision = 1;
    while !world.environment.known("deaf").unwrap().lost {
        revision += 1;
        let weight = u16::try_from(revision % 10_000).unwrap();
        let all: Vec<(&str, u16)> = names.iter().map(|name| (name.as_str(), weight)).collect();
        world.environment.publish(revision, &all);
        world.environment.serves("good", revision).await;
    }
    assert_eq!(good.proxy.table().unwrap().revision, revision);
    beats.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_ends_the_stream() {
    let world = World::new();
    let controller = world.controller().await;
    let beat = from_agent::Kind::Beat(proto::Beat {});
    let Err(status) = open(&world, &controller, beat).await else {
        panic!("who does not say who it is gets in")
    };
    assert_eq!(status.code(), Code::InvalidArgument);

    let series = |change: fn(&mut proto::Series)| {
        let mut series = proto::Series { gateway: "shop".into(), ..proto::Series::default() };
        change(&mut series);
        from_agent::Kind::Report(proto::Report { sequence: 1, series: vec![series], incidents: Vec::new() })
    };
    let target = |address: &str| {
        let target = proto::Target {
            gateway: "shop".into(),
            route: "(1)".into(),
            address: address.into(),
            ..proto::Target::default()
        };
        from_agent::Kind::Targets(proto::Targets { targets: vec![target], last: true, budgets: Vec::new() })
    };
    for (number, bad) in [
        series(|series| series.gateway = "\0".into()),
        series(|series| series.received = u64::MAX),
        series(|series| series.in_flight = u64::MAX),
        series(|series| {
            series.requests = vec![proto::Requests { class: 9, reason: "weight".into(), count: 1 }]
        }),
        series(|series| series.requests = vec![proto::Requests { class: 2, reason: "fun".into(), count: 1 }]),
        series(|series| (series.latency_steps, series.latency_counts) = (vec![1 << 20], vec![1])),
        target("somewhere"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = open(&world, &controller, hello(&format!("odd-{number}"))).await.unwrap();
        raw.to_controller.send(FromAgent { kind: Some(bad) }).await.unwrap();
        assert_eq!(last_word(&mut raw).await.code(), Code::InvalidArgument, "{number}");
    }
    let counted = world.environment.telemetry.totals();
    assert!(counted.is_empty(), "{counted:?}");
    // A step that there is not, but might be: the longest.
    let raw = open(&world, &controller, hello("later")).await.unwrap();
    let later = series(|series| (series.latency_steps, series.latency_counts) = (vec![60_000], vec![1]));
    raw.to_controller.send(FromAgent { kind: Some(later) }).await.unwrap();
    eventually("it to count", || (!world.environment.telemetry.totals().is_empty()).then_some(())).await;
}

/// Connections that never shake hands, or speak something else, keep nobody out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_on_the_port_keeps_nobody_out() {
    use tokio::io::AsyncWriteExt as _;
    let world = World::new();
    let controller = world.controller().await;
    let mut noise = Vec::new();
    for n in 0..50_u8 {
        let mut stream = tokio::net::TcpStream::connect(controller.address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        noise.push(stream);
    }
    let agent = world.agent("a", &[controller.address]).await;
    world.environment.serves("a", 1).await;
    drop((noise, agent));
}
