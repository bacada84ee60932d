//! The verbs, one file for each family.

mod apply;
pub(crate) mod check;
mod documents;
mod environments;
mod events;
mod get;
mod local;
mod release;
mod route_test;
mod status;
mod top;

use crate::args::{Connection, RouteVerb, Verb};
use crate::client::Client;
use crate::error::Error;

/// Follows until somebody stops it, or nobody reads any more.
async fn while_read(follow: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::select! {
        result = follow => result,
        () = crate::output::closed() => Err(Error::OutputClosed),
    }
}

/// A kind of artifact as it is written on the command line, as the API's plural.
fn kind(word: &str) -> Result<&'static str, Error> {
    Ok(match word.to_ascii_lowercase().as_str() {
        "gateway" | "gateways" | "gw" | "vgw" => "gateways",
        "condition" | "conditions" => "conditions",
        "rewrite" | "rewrites" => "rewrites",
        "route" | "routes" => "routes",
        "event" | "events" => "events",
        "workload" | "workloads" => "workloads",
        "environment" | "environments" | "env" => "environments",
        other => {
            return Err(Error::Usage(format!(
                "unknown kind '{other}', one of: gateways, conditions, rewrites, routes, events, workloads, environments"
            )));
        }
    })
}

pub(crate) async fn run(verb: Verb, connection: Connection, whole: clap::Command) -> Result<(), Error> {
    if let Verb::Completion { shell } = verb {
        let mut text = Vec::new();
        let mut whole = whole;
        clap_complete::generate(shell, &mut whole, "vamp", &mut text);
        return crate::output::print(&String::from_utf8_lossy(&text));
    }
    let client = Client::new(&connection)?;
    match verb {
        Verb::Apply { file, change, output } => apply::apply(&client, &file, &change, output).await,
        Verb::Diff { file } => apply::diff(&client, &file).await,
        Verb::Delete { kind: word, name, file, change } => {
            apply::delete(&client, word.as_deref(), &name, &file, &change).await
        }
        Verb::Edit { kind: word, name, change } => apply::edit(&client, kind(&word)?, &name, &change).await,
        Verb::Get { kind: word, name, watch, output } => {
            let get = get::get(&client, kind(&word)?, name.as_deref(), watch, output.output);
            if watch { while_read(get).await } else { get.await }
        }
        Verb::Describe { kind: word, name } => get::describe(&client, kind(&word)?, &name).await,
        Verb::Weight { gateway, weights, change, output } => {
            release::weight(&client, &gateway, &weights, &change, output.output).await
        }
        Verb::Condition { gateway, route, text, strength, clear: _, change, output } => {
            let condition = release::NewCondition { route: &route, text, strength };
            release::condition(&client, &gateway, condition, &change, output.output).await
        }
        Verb::Sticky { gateway, mode, change, output } => {
            release::sticky(&client, &gateway, &mode, &change, output.output).await
        }
        Verb::Evict { gateway, change } => release::evict(&client, &gateway, &change).await,
        Verb::Route(RouteVerb::Test { gateway, header, path, method, source, output }) => {
            let request = route_test::Question { gateway, header, path, method, source };
            route_test::test(&client, request, output.output).await
        }
        Verb::Events { watch, tag, kind, gateway, limit, output } => {
            let filter = events::Filter { tag, kind, gateway, limit };
            let events = events::events(&client, filter, watch, output.output);
            if watch { while_read(events).await } else { events.await }
        }
        Verb::Top { gateway, once } => {
            let top = top::top(&client, gateway.as_deref(), once);
            if once { top.await } else { while_read(top).await }
        }
        Verb::Status { timeout, output } => status::status(&client, timeout, output.output).await,
        Verb::Check { output } => check::check(Vec::new(), &client, output.output).await,
        Verb::Local(verb) => local::run(&client, verb).await,
        Verb::Completion { .. } => Ok(()),
    }
}
