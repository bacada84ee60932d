//! The settings of `serve`, `demo`, (in [`agent`]) `agent` and (in [`controller`]) `controller`: one definition gives flag, environment variable, file key, default and help.
//!
//! Order: flag > environment > file (`--config`) > default. A file key is the flag's name; an unknown key is refused.

mod agent;
mod controller;
mod groups;
#[cfg(test)]
mod installed_tests;
#[cfg(test)]
mod reference;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use model::percent::Percent;

pub(crate) use agent::AgentSettings;
pub(crate) use controller::ControllerSettings;
pub(crate) use groups::{
    ApiSettings, ClusterSettings, FollowerSettings, GatewaySettings, HistorySettings, ListenSettings,
    LogSettings, ProxySettings, TakeoverSettings,
};

/// More threads than any machine has cores for; each costs memory and a socket for every gateway.
const MOST_WORKERS: usize = 1024;

/// Settings of the server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Settings {
    /// File with settings, YAML: a key is a flag's name without the dashes in front
    #[arg(long, env = "VAMP_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where artifacts, live state and events are kept
    #[arg(long, env = "VAMP_DATA_DIR", default_value = "vamp-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) api: ApiSettings,
    #[command(flatten)]
    pub(crate) listen: ListenSettings,
    /// Name of the environment
    #[arg(long, env = "VAMP_ENVIRONMENT", default_value = "default", value_name = "NAME", value_parser = environment)]
    pub(crate) environment: String,
    /// File or directory with Kubernetes manifests that say what runs or what to run; watched; repeatable
    #[arg(long, env = "VAMP_INVENTORY", value_name = "PATH", value_delimiter = ',')]
    pub(crate) inventory: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) cluster: ClusterSettings,
    /// Kubernetes namespace of the environment [default: the context's]
    #[arg(long, env = "VAMP_NAMESPACE", value_name = "NAME", requires = "kubeconfig", value_parser = environment)]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) gateways: GatewaySettings,
    #[command(flatten)]
    pub(crate) proxy: ProxySettings,
    /// File with tokens for the API, lines `ROLE NAME TOKEN`; roles: viewer, operator, admin. Without it the API is open
    #[arg(long, env = "VAMP_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) history: HistorySettings,
    #[command(flatten)]
    pub(crate) log: LogSettings,
}

impl Settings {
    /// The same groups as elsewhere, with the defaults and the rules of a server that serves this machine.
    pub(crate) fn arguments(command: Command) -> Command {
        Self::augment_args(command)
            .mut_arg("gateway_address", |address| {
                address
                    .default_value("127.0.0.1")
                    .help("Address on which gateway ports are opened and reached")
            })
            .mut_arg("virtual_host_listen", |address| address.default_value("127.0.0.1:8000"))
            .mut_arg("virtual_host_tls_listen", |address| address.default_value("127.0.0.1:8443"))
            .mut_arg("kubeconfig", |file| {
                file.conflicts_with("inventory")
                    .help("Kubernetes cluster to work in, in place of this machine: where it is and who asks")
            })
    }
}

/// A setting, its value and where it came from; for `GET /config` and the start-up log.
pub(crate) fn applied(matches: &ArgMatches, command: &Command) -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let Some(long) = argument.get_long() else { continue };
        let Ok(Some(values)) = matches.try_get_raw(id) else { continue };
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "environment",
            _ => "default",
        };
        let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
        all.push((long.to_owned(), values.join(","), source));
    }
    all
}

/// The arguments again, with those settings of the `--config` file appended that neither a flag nor the environment gave.
///
/// # Errors
/// The file cannot be read, is no map of settings, or holds an unknown key: with file, line and what is meant.
pub(crate) fn with_file(
    mut arguments: Vec<OsString>,
    matches: &ArgMatches,
    command: &Command,
) -> anyhow::Result<Vec<OsString>> {
    let Some(file) = matches.try_get_one::<PathBuf>("config").ok().flatten() else { return Ok(arguments) };
    let text =
        std::fs::read_to_string(file).map_err(|e| anyhow::anyhow!("cannot read {}: {e}", file.display()))?;
    for (key, values) in entries(&text).map_err(|e| anyhow::anyhow!("{}: {e}", file.display()))? {
        let argument =
            command.get_arguments().find(|a| a.get_long() == Some(key.as_str()) && key != "config");
        let Some(argument) = argument else {
            let known: Vec<&str> = command
                .get_arguments()
                .filter_map(|a| a.get_long())
                .filter(|long| *long != "config")
                .collect();
            anyhow::bail!("{}: unknown setting '{key}', known are: {}", file.display(), known.join(", "));
        };
        let given = matches.value_source(argument.get_id().as_str());
        if matches!(given, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) {
            continue;
        }
        for value in values {
            arguments.push(format!("--{key}={value}").into());
        }
    }
    Ok(arguments)
}

fn entries(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let nodes = model::yaml::read_all(text).map_err(|problems| {
        let place = problems.0.first().and_then(|problem| problem.position);
        place.map(|p| format!("line {}: ", p.line)).unwrap_or_default() + &problems.to_string()
    })?;
    let mut all = Vec::new();
    for node in nodes {
        let value = node.to_value();
        let map = value
            .as_object()
            .ok_or("expected a map of settings, for example `api-listen: 127.0.0.1:8090`")?;
        for (key, value) in map {
            let one = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => Ok(text.clone()),
                serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(value.to_string()),
                _ => Err(format!("the setting '{key}' must be text, a number or a list of those")),
            };
            let values = match value {
                serde_json::Value::Array(items) => items.iter().map(one).collect::<Result<Vec<_>, _>>()?,
                value => vec![one(value)?],
            };
            all.push((key.clone(), values));
        }
    }
    Ok(all)
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, for example 127.0.0.1:8090".into())
}

fn environment(text: &str) -> Result<String, String> {
    let good = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good {
        Ok(text.to_owned())
    } else {
        Err("use lower-case letters, digits and inner '-', at most 63".into())
    }
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let error = || format!("'{text}' is not a range of ports, write for example 40000-45000");
    let (from, to) = text.split_once('-').ok_or_else(error)?;
    let from: u16 = from.trim().parse().map_err(|_| error())?;
    let to: u16 = to.trim().parse().map_err(|_| error())?;
    if from == 0 || from > to { Err(error()) } else { Ok(from..=to) }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(workers) if workers <= MOST_WORKERS => Ok(workers),
        _ => Err(format!("write a number from 0 to {MOST_WORKERS}")),
    }
}

fn percent(text: &str) -> Result<Percent, String> {
    Percent::parse(text).map_err(|_| format!("'{text}' is not a share, write for example 50%"))
}

fn duration(text: &str) -> Result<Duration, String> {
    cli::duration(text)
}

#[cfg(test)]
mod tests {
    use kubernetes::ServiceType;

    use super::*;

    fn program() -> Command {
        Settings::arguments(Command::new("vamp"))
    }

    fn parse(arguments: &[&str], file: Option<&str>) -> Result<Settings, String> {
        use clap::FromArgMatches;
        let folder = tempfile::tempdir().unwrap();
        let mut arguments: Vec<OsString> =
            std::iter::once("vamp").chain(arguments.iter().copied()).map(OsString::from).collect();
        if let Some(text) = file {
            let path = folder.path().join("vamp.yaml");
            std::fs::write(&path, text).unwrap();
            arguments.push(format!("--config={}", path.display()).into());
        }
        let matches = program().try_get_matches_from(&arguments).map_err(|e| e.to_string())?;
        let arguments = with_file(arguments, &matches, &program()).map_err(|e| format!("{e:#}"))?;
        let matches = program().try_get_matches_from(&arguments).map_err(|e| e.to_string())?;
        Settings::from_arg_matches(&matches).map_err(|e| e.to_string())
    }

    #[test]
    fn flag_beats_file_beats_default() {
        let file = "api-listen: 127.0.0.1:1\nworkers: 3\ninventory: [a.yaml, b.yaml]\nport-range: 500-600\n";
        let settings = parse(&["--workers=2"], Some(file)).unwrap();
        assert_eq!(settings.proxy.workers, 2);
        assert_eq!(settings.api.listen.port(), 1);
        assert_eq!(settings.inventory, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]);
        assert_eq!(settings.gateways.port_range, 500..=600);
        assert_eq!(settings.gateways.route_retention, Duration::from_secs(30));
        assert_eq!(settings.listen.virtual_host_listen.to_string(), "127.0.0.1:8000");
        assert!(settings.listen.gateway_address.is_loopback());
    }

    #[test]
    fn a_demo_follows_nobody() {
        let parses = |command| crate::command().try_get_matches_from(["vamp", command, "--takeover"]).is_ok();
        assert!(parses("serve") && parses("agent") && !parses("demo"));
    }

    #[test]
    fn one_platform() {
        let settings = parse(&["--kubeconfig=k", "--context=c", "--namespace=n"], None).unwrap();
        assert_eq!(settings.cluster.kubeconfig, Some(PathBuf::from("k")));
        assert_eq!(
            (settings.gateways.create_services, settings.gateways.service_type),
            (true, ServiceType::NodePort)
        );
        let message = |arguments: &[&str]| parse(arguments, None).unwrap_err();
        assert!(message(&["--kubeconfig=k", "--inventory=i"]).contains("cannot be used with"));
        assert!(message(&["--namespace=n"]).contains("--kubeconfig"));
        assert!(message(&["--service-type=x"]).contains("use NodePort, LoadBalancer or ClusterIP"));
        assert!(
            parse(&["--inventory=i"], Some("kubeconfig: k")).unwrap_err().contains("cannot be used with")
        );
        assert!(!parse(&[], Some("create-services: false")).unwrap().gateways.create_services);
    }

    #[test]
    fn mistakes_in_the_file_name_it_and_the_way_out() {
        let message = |text: &str| parse(&[], Some(text)).unwrap_err();
        assert!(
            message("api-listn: 1").contains("unknown setting 'api-listn', known are: data-dir, api-listen")
        );
        assert!(message("- a").contains("expected a map of settings"));
        assert!(message("workers: {a: 1}").contains("the setting 'workers' must be text"));
        assert!(message("route-retention: 30").contains("needs a unit"));
        assert!(message("a: [").contains("vamp.yaml"));
        assert!(message("workers: 100000").contains("from 0 to 1024"));
    }
}
