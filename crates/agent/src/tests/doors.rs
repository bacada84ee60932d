//! Who gets in, and what others are told.

use std::time::Duration;

use jiff::Timestamp;

use super::world::*;
use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_good_token_nobody_follows() {
    let world = World::new();
    let controller = world.controller().await;
    let mut settings = world.settings("a", &[controller.address]);
    settings.token_file = world.folder.path().join("later");
    let agent = world.agent_with(settings.clone()).await;
    agent.broken("cannot read the token").await;
    std::fs::write(&settings.token_file, "this one is not known").unwrap();
    agent.broken("does not know this agent's token").await;
    assert!(controller.fleet.agents().is_empty() && !agent.status().ready());
    // It is read again with every attempt.
    std::fs::write(&settings.token_file, TOKEN).unwrap();
    world.environment.serves("a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_nobody_vouches_for_is_not_followed() {
    let world = World::new();
    let controller = world.controller().await;
    let mut settings = world.settings("a", &[controller.address]);
    settings.ca_file = world.folder.path().join("other.crt");
    let agent = world.agent_with(settings.clone()).await;
    agent.broken("cannot read").await;
    let other = Authority::make(Timestamp::now()).unwrap();
    std::fs::write(&settings.ca_file, &other.certificates).unwrap();
    agent.broken("not trusted with this --ca-file").await;
    assert!(agent.proxy.table().is_none());
    // The right one arrives, as a ConfigMap does.
    let right = folder::certificates(&world.folder.path().join("ca"));
    std::fs::write(&settings.ca_file, std::fs::read(right).unwrap()).unwrap();
    world.environment.serves("a", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_environments_are_checked() {
    let world = World::new();
    let controller = world.controller().await;
    let mut elsewhere = world.settings("a", &[controller.address]);
    elsewhere.environment = "test".into();
    let agent = world.agent_with(elsewhere).await;
    agent.broken("no environment 'test'").await;
    agent.client.stop(Duration::from_secs(5)).await;

    let first = world.agent("b", &[controller.address]).await;
    world.environment.serves("b", 1).await;
    let telemetry = telemetry::Telemetry::new(1);
    let twin = Client::start(
        world.settings("b", &[controller.address]),
        std::sync::Arc::clone(&first.proxy) as _,
        telemetry,
        None,
        Box::new(|| 99),
    )
    .await;
    eventually("the second of a name to be told", || {
        let connection = twin.status().borrow().connection.clone();
        matches!(connection, Connection::Broken(reason) if reason.contains("give each a name of its own"))
            .then_some(())
    })
    .await;
    twin.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_go_where_the_leader_is() {
    let world = World::new();
    let other = Site::new();
    other.publish(9, &[("shop", 9)]);
    let first = world.controller().await;
    let second = world.controller_of(&other, false).await;
    let agent = world.agent("a", &[second.address, first.address]).await;
    world.environment.serves("a", 1).await;
    assert_eq!(agent.status().connection, Connection::Connected(first.address.to_string()));
    first.leading.send_replace(false);
    second.leading.send_replace(true);
    other.serves("a", 9).await;
    assert_eq!(*agent.proxy.table().unwrap(), *config(9, &[("shop", 9)]));
    eventually("the first to let go", || {
        first.fleet.agents().iter().all(|agent| agent.state != AgentState::Connected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_that_is_closed_ends_its_streams() {
    let world = World::new();
    let controller = world.controller().await;
    let agent = world.agent("a", &[controller.address]).await;
    world.environment.serves("a", 1).await;
    controller.server.close("prod");
    agent.broken("").await;
    assert!(world.environment.known("a").is_none());
    assert_eq!(*agent.proxy.table().unwrap(), *config(1, &[("shop", 1)]), "traffic goes on");
    controller.server.open("prod", std::sync::Arc::clone(&world.environment) as _);
    world.environment.serves("a", 1).await;
}

/// Certificates are renewed while agents are connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_may_change() {
    let authority = Authority::make(Timestamp::now()).unwrap();
    let issue = |authority: &Authority| authority.issue(&[SERVER_NAME.into()], Timestamp::now()).unwrap();
    let first = issue(&authority);
    let certificate = ServerCertificate::from_pem(&first.certificate, &first.key).unwrap();
    let second = issue(&authority);
    let message = certificate.replace(&second.certificate, &first.key).unwrap_err().to_string();
    assert!(message.contains("do not go together") && !message.contains("PRIVATE"), "{message}");
    certificate.replace(&second.certificate, &second.key).unwrap();
    assert!(certificate.replace("", &second.key).is_err());
}
