//! The verbs and their flags.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// How to reach the API; the same on every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Address of the Vamp API
    #[arg(
        long,
        env = "VAMP_URL",
        default_value = "http://127.0.0.1:8090",
        global = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub url: String,
    /// File with the certificates of the authorities that an https:// address is checked against, PEM [default: those of the system]
    #[arg(long, env = "VAMP_CA", global = true, hide_env_values = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Token for the API
    #[arg(long, env = "VAMP_TOKEN", global = true, hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Environment: NAME, ORGANISATION/NAME or its namespace; the server's default one when not given
    #[arg(
        short = 'n',
        long = "env",
        visible_alias = "namespace",
        env = "VAMP_ENVIRONMENT",
        global = true,
        value_name = "NAME"
    )]
    pub environment: Option<String>,
    /// Reach the controller that leads in a Kubernetes cluster, through the API server: whose user you are there
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The same, with this context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the controller, where it is neither that of the environment nor vamp-system
    #[arg(long, env = "VAMP_INSTALLATION", global = true, value_name = "NAMESPACE")]
    pub installation: Option<String>,
    /// The URL was given, so no cluster is asked for the way
    #[arg(skip)]
    pub url_given: bool,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// A table for people
    #[default]
    Table,
    /// A table with more columns
    Wide,
    /// JSON as the API answers it
    Json,
    /// YAML as the API answers it
    Yaml,
    /// Only kind/name
    Name,
}

/// `-o`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Output format
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Flags of verbs that change something.
#[derive(Debug, Clone, Args)]
pub struct Change {
    /// Validate and show the result, change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait until every proxy serves the change
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait for the proxies
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Why, for the event log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// One verb of the client.
#[allow(missing_docs, reason = "flattened groups of flags are documented at their types")]
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Create or replace what documents describe (a document without `kind` is a gateway)
    #[command(after_help = "Example: vamp apply -f sava-product.yaml --reason 'first release'")]
    Apply {
        /// File, directory, or - for standard input; repeatable
        #[arg(short, long = "filename", required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: Output,
    },
    /// List things, or show one: gateways, conditions, rewrites, routes, events, workloads, environments
    #[command(after_help = "Examples: vamp get gateways -w\n          vamp get gateway sava-product -o yaml")]
    Get {
        /// What kind, for example gateways
        kind: String,
        /// Name of the one to show; all of the kind without it
        name: Option<String>,
        /// Show again whenever it changes
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show one thing with everything that is known about it
    #[command(after_help = "Example: vamp describe gateway sava-product")]
    Describe {
        /// What kind, for example gateway
        kind: String,
        /// Name of the one to show
        name: String,
    },
    /// Delete things
    #[command(
        after_help = "Examples: vamp delete gateway sava-product\n          vamp delete -f sava-product.yaml"
    )]
    Delete {
        /// What kind, for example gateway
        #[arg(required_unless_present = "file")]
        kind: Option<String>,
        /// Names of those to delete
        #[arg(required_unless_present = "file")]
        name: Vec<String>,
        /// Delete what these documents name
        #[arg(short, long = "filename", value_name = "FILE", conflicts_with_all = ["kind", "name"])]
        file: Vec<PathBuf>,
        #[command(flatten)]
        change: Change,
    },
    /// Edit a document in $VISUAL or $EDITOR
    #[command(after_help = "Example: vamp edit gateway sava-product")]
    Edit {
        /// What kind, for example gateway
        kind: String,
        /// Name of the one to edit
        name: String,
        #[command(flatten)]
        change: Change,
    },
    /// Show what applying documents would change; exits with 1 when there is a difference
    #[command(after_help = "Example: vamp diff -f sava-product.yaml")]
    Diff {
        /// File, directory, or - for standard input; repeatable
        #[arg(short, long = "filename", required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
    },
    /// Move traffic: set weights; routes not named share the rest in proportion
    #[command(after_help = "Example: vamp weight sava-product '(1.0.3)=90%' '(2.0.1)=10%'")]
    Weight {
        /// Name of the gateway
        gateway: String,
        /// Route and its new share of the traffic; the brackets of `(1.0.3)` may be left out
        #[arg(required = true, value_name = "ROUTE=N%")]
        weights: Vec<String>,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: Output,
    },
    /// Give a route a condition, or take it away
    #[command(
        after_help = "Examples: vamp condition sava-product '(2.0.1)' 'Header Accept Contains v2' --strength 50%\n          vamp condition sava-product '(2.0.1)' --clear"
    )]
    Condition {
        /// Name of the gateway
        gateway: String,
        /// Path of the route; the brackets of `(1.0.3)` may be left out
        route: String,
        /// The condition, as in a document
        #[arg(required_unless_present = "clear")]
        text: Option<String>,
        /// Share of the matching requests that the route takes
        #[arg(long, value_name = "N%")]
        strength: Option<String>,
        /// Remove the condition
        #[arg(long, conflicts_with = "text")]
        clear: bool,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: Output,
    },
    /// Make clients stay on their route or instance, or stop that
    #[command(after_help = "Example: vamp sticky sava-product route")]
    Sticky {
        /// Name of the gateway
        gateway: String,
        /// What clients stay on
        #[arg(value_parser = ["route", "instance", "none"])]
        mode: String,
        #[command(flatten)]
        change: Change,
        #[command(flatten)]
        output: Output,
    },
    /// Send sticky clients through the weights again
    #[command(after_help = "Example: vamp evict sava-product")]
    Evict {
        /// Name of the gateway
        gateway: String,
        #[command(flatten)]
        change: Change,
    },
    /// Ask where a request would go
    #[command(subcommand)]
    Route(RouteVerb),
    /// Show events, newest last
    #[command(after_help = "Example: vamp events --gateway sava-product --watch")]
    Events {
        /// Go on with new ones
        #[arg(short, long)]
        watch: bool,
        /// Only events with this tag; repeatable, all must be there
        #[arg(short, long)]
        tag: Vec<String>,
        /// Only events of this type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only events of this gateway
        #[arg(short, long)]
        gateway: Option<String>,
        /// How many of the latest
        #[arg(long, default_value_t = 30, value_name = "N")]
        limit: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Show live figures of every gateway and route
    #[command(after_help = "Example: vamp top sava-product")]
    Top {
        /// Only this gateway
        gateway: Option<String>,
        /// Print once and stop
        #[arg(long)]
        once: bool,
    },
    /// Say whether everything is healthy; exits with 1 when it is not
    #[command(after_help = "Example: vamp status --timeout 30s")]
    Status {
        /// Wait this long for it to become healthy
        #[arg(long, value_parser = duration, value_name = "TIME")]
        timeout: Option<Duration>,
        #[command(flatten)]
        output: Output,
    },
    /// Find what is wrong with this installation and say how to mend it; exits with 1 when something is
    #[command(
        after_help = "Examples: vamp check\n          vamp check --kubeconfig ~/.kube/config -n shop -o json"
    )]
    Check {
        #[command(flatten)]
        output: Output,
    },
    /// Run and stop workloads of the local platform
    #[command(subcommand)]
    Local(LocalVerb),
    /// Print a completion script for a shell
    #[command(after_help = "Example: source <(vamp completion bash)")]
    Completion {
        /// The shell that is to complete
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// `vamp route ...`.
#[allow(missing_docs, reason = "flattened groups of flags are documented at their types")]
#[derive(Debug, Clone, Subcommand)]
pub enum RouteVerb {
    /// Say which route and target a request would get, and why
    #[command(
        after_help = "Example: vamp route test sava-product -H 'Accept: application/vnd.sava.v1+json' --path /products/ie"
    )]
    Test {
        /// Name of the gateway
        gateway: String,
        /// Header of the request; repeatable
        #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
        header: Vec<String>,
        /// Path and query of the request
        #[arg(long, default_value = "/")]
        path: String,
        /// Method of the request
        #[arg(short = 'X', long, default_value = "GET")]
        method: String,
        /// Address of the client
        #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
        source: String,
        #[command(flatten)]
        output: Output,
    },
}

/// `vamp local ...`.
#[allow(missing_docs, reason = "flattened groups of flags are documented at their types")]
#[derive(Debug, Clone, Subcommand)]
pub enum LocalVerb {
    /// Run the Deployments of Kubernetes manifests as local processes
    #[command(after_help = "Example: vamp local apply -f shop/sava-product-1.0.3.yml")]
    Apply {
        /// File or - for standard input; repeatable
        #[arg(short, long = "filename", required = true, value_name = "FILE")]
        file: Vec<PathBuf>,
    },
    /// List what runs
    #[command(after_help = "Example: vamp local get")]
    Get {
        #[command(flatten)]
        output: Output,
    },
    /// Stop and forget a workload
    #[command(after_help = "Example: vamp local delete sava-product-1.0.3")]
    Delete {
        /// Name of the Deployment
        name: String,
    },
    /// Print the latest log lines of an instance
    #[command(after_help = "Example: vamp local logs sava-product-1.0.3-ff5f4e3c-1 --lines 20")]
    Logs {
        /// Name of the instance, as `vamp local get` shows it
        instance: String,
        /// How many lines
        #[arg(long, visible_alias = "tail", default_value_t = 100, value_name = "N")]
        lines: usize,
    },
}

/// Reads a duration with a unit: `500ms`, `5s`, `2m`, `1h`; a bare `0` is fine.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 =
        number.parse().map_err(|_| format!("'{text}' is not a duration, write for example 30s"))?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if number == 0 => 1,
        _ => return Err(format!("'{text}' needs a unit: ms, s, m or h, for example 30s")),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(|| format!("'{text}' is too long"))
}
