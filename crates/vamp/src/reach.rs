//! Verbs against a controller in a Kubernetes cluster: the way there is made first, then they run as ever.

use clap::Command;
use cli::args::Format;
use cli::{Connection, Error, Finding, Level, Verb};
use kubernetes::doctor;
use kubernetes::user::{Choice, Forward, User};

/// Runs a verb, through the cluster when the command line names one or when kubectl runs us.
pub(crate) async fn run(
    verb: Verb,
    connection: Connection,
    whole: Command,
    plugin: bool,
) -> Result<(), Error> {
    let named = connection.kubeconfig.is_some() || connection.context.is_some();
    let through = named || plugin && !connection.url_given;
    if !through || matches!(verb, Verb::Completion { .. }) {
        return cli::run(verb, connection, whole).await;
    }
    if named && connection.url_given && !matches!(verb, Verb::Check { .. }) {
        return Err(Error::Usage("--url and a kubeconfig are two ways to the API: give one of them".into()));
    }
    let choice = Choice { kubeconfig: connection.kubeconfig.clone(), context: connection.context.clone() };
    let user = User::new(&choice).await.map_err(|error| Error::Usage(error.to_string()))?;
    let environment = connection.environment.clone().unwrap_or_else(|| user.default_namespace().to_owned());
    if let Verb::Check { output } = verb {
        return check(&user, connection, environment, output.output).await;
    }
    let forward = Forward::open(&user, &environment, connection.installation.as_deref())
        .await
        .map_err(|error| Error::NoWay(error.to_string()))?;
    let connection = by_way_of(&user, &forward, connection, environment).await?;
    match cli::run(verb, connection, whole).await {
        // What happened behind the listener on loopback says more.
        Err(Error::Unreachable { reason, .. }) => Err(Error::NoWay(format!(
            "cannot reach the API of the controller in namespace '{}': {}",
            forward.installation(),
            forward.problem().unwrap_or(reason)
        ))),
        result => result,
    }
}

async fn by_way_of(
    user: &User,
    forward: &Forward,
    mut connection: Connection,
    environment: String,
) -> Result<Connection, Error> {
    if connection.token.as_deref().is_none_or(|token| token.trim().is_empty()) {
        let token = user.token(forward.installation()).await;
        connection.token = Some(token.map_err(|error| Error::NoWay(error.to_string()))?);
    }
    connection.url = forward.url();
    connection.environment = Some(environment);
    Ok(connection)
}

/// The installation first, as the API server shows it, then what the API itself says.
async fn check(
    user: &User,
    connection: Connection,
    environment: String,
    format: Format,
) -> Result<(), Error> {
    let forward = Forward::open(user, &environment, connection.installation.as_deref()).await;
    let installation = match (&forward, &connection.installation) {
        (Ok(forward), _) => forward.installation().to_owned(),
        (Err(_), Some(name)) => name.clone(),
        (Err(_), None) => environment.clone(),
    };
    let found = doctor::examine(user, &environment, &installation).await;
    let mut found: Vec<Finding> = found.into_iter().map(finding).collect();
    if connection.url_given {
        return cli::check(found, Some(&connection), format).await;
    }
    let reached = match &forward {
        Ok(forward) => by_way_of(user, forward, connection, environment).await,
        Err(error) => Err(Error::NoWay(error.to_string())),
    };
    match reached {
        Ok(connection) => cli::check(found, Some(&connection), format).await,
        Err(error) => {
            found.push(Finding::error(
                format!("the API cannot be asked: {error}"),
                "mend what is above, or reach it in another way with --url",
            ));
            cli::check(found, None, format).await
        }
    }
}

fn finding(finding: doctor::Finding) -> Finding {
    let level = match finding.level {
        doctor::Level::Fine => Level::Fine,
        doctor::Level::Warning => Level::Warning,
        doctor::Level::Error => Level::Error,
    };
    Finding { level, message: finding.message, mend: finding.mend }
}
