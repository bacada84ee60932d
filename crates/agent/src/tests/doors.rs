//! Who gets in, and what others are told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
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

/// Accepts what is on its list at the moment, and keeps what it was asked.
#[derive(Default)]
struct List {
    good: Mutex<Vec<String>>,
    away: AtomicBool,
    asked: Mutex<Vec<String>>,
}

impl Authenticate for List {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<AgentIdentity, Denied>> {
        self.asked.lock().unwrap().push(token.to_owned());
        let known = self.good.lock().unwrap().iter().any(|good| good == token);
        let answer = match (self.away.load(Ordering::SeqCst), known) {
            (true, _) => Err(Denied::Unavailable("nobody can tell".into())),
            (false, true) => Ok(AgentIdentity::default()),
            (false, false) => Err(Denied::Unknown("this token is not on the list".into())),
        };
        Box::pin(async move { answer })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_for_as_long_as_it_is_accepted() {
    let world = World::new();
    let list = Arc::new(List::default());
    list.good.lock().unwrap().push("first-token".into());
    let site = Arc::clone(&world.environment);
    let controller = world.controller_that(&site, true, Arc::clone(&list) as _).await;
    let mut settings = world.settings("a", &[controller.address]);
    settings.token_file = world.folder.path().join("renewed");
    std::fs::write(&settings.token_file, "first-token\n").unwrap();
    let agent = world.agent_with(settings.clone()).await;
    world.environment.serves("a", 1).await;
    let connected = || controller.fleet.agents().iter().any(|agent| agent.state == AgentState::Connected);
    let asked_again = async |what: &str| {
        let before = list.asked.lock().unwrap().len();
        eventually(what, || (list.asked.lock().unwrap().len() > before + 2).then_some(())).await;
    };

    // Nobody is sent away by somebody who cannot tell.
    list.away.store(true, Ordering::SeqCst);
    asked_again("the token to be looked at while nobody can tell").await;
    assert!(connected());
    list.away.store(false, Ordering::SeqCst);

    // A renewed one takes the place of the first without an end of the stream.
    list.good.lock().unwrap().push("second-token".into());
    std::fs::write(&settings.token_file, "second-token\n").unwrap();
    let shown = || list.asked.lock().unwrap().last().is_some_and(|last| last == "second-token").then_some(());
    eventually("the second token to be shown", shown).await;
    list.good.lock().unwrap().remove(0);
    asked_again("the second token to be looked at").await;
    assert!(connected() && matches!(agent.status().connection, Connection::Connected(_)));

    // What was revoked ends it.
    list.good.lock().unwrap().clear();
    agent.broken("not on the list").await;
    eventually("the agent to be gone", || (!connected()).then_some(())).await;
    assert!(agent.proxy.table().is_some(), "traffic goes on");
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
