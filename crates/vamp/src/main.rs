//! The `vamp` binary: reads the command line and hands over. Everything it wires lives in the crates below.

mod adapters;
mod agent;
mod callers;
mod certificates;
mod controller;
mod demo;
mod environment;
mod export;
mod gateways;
mod incidents;
mod plugin;
mod process;
mod reach;
mod serve;
mod services;
mod settings;
mod shop;
mod takeover;
mod tokens;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _};

use settings::{AgentSettings, ControllerSettings, Settings, TakeoverSettings};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = plugin::Name::of(arguments.first().map(OsString::as_os_str));
    let mut program = command();
    if let Some(shown) = name.shown() {
        program = program.bin_name(shown);
    }
    if name == plugin::Name::Completer {
        let words: Vec<String> =
            arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
        return finish(print(&plugin::complete(&program, &words)));
    }
    let arguments = cli::verb_first(arguments);
    let matches = match program.clone().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    match matches.subcommand() {
        Some((name @ ("serve" | "demo" | "agent" | "controller"), given)) => {
            server(name, arguments.clone(), given)
        }
        Some((name @ ("sava-product" | "sava-cart"), given)) => finish(shop::run(name, given)),
        _ => client(&matches, program, name == plugin::Name::Plugin),
    }
}

fn command() -> Command {
    let serve = TakeoverSettings::augment_args(Settings::arguments(Command::new("serve")))
        .about("Run Vamp: API, control, proxy and the local platform in one process")
        .after_help("The first line on standard output is JSON with the addresses in use.");
    let agent = AgentSettings::augment_args(Command::new("agent"))
        .about("Run the proxy only, led by a controller; serves its last routing table without one")
        .after_help("The first line on standard output is JSON with the addresses in use.");
    let controller = ControllerSettings::augment_args(Command::new("controller"))
        .about(
            "Run API and control for environments on Kubernetes; agents carry the traffic, replicas stand by",
        )
        .after_help("The first line on standard output is JSON with the addresses in use.");
    let demo = demo::Options::augment_args(Settings::arguments(Command::new("demo")))
        .about("Start Vamp with the sava shop and walk through a release")
        .after_help(
            "Unless told otherwise, a demo keeps its data in a folder that is removed at the end, takes free ports \
             where the default ones are in use, and logs warnings only.",
        );
    let program = Command::new("vamp")
        .about("Release control for microservices")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(110)
        .subcommand(serve)
        .subcommand(controller)
        .subcommand(agent)
        .subcommand(demo)
        .subcommand(shop::command("sava-product", "The product service of the sava shop").hide(true))
        .subcommand(shop::command("sava-cart", "The store front of the sava shop").hide(true));
    cli::augment(program)
}

/// `serve`, `controller`, `agent` and `demo`: settings from flags, environment and file, then the server.
fn server(name: &str, arguments: Vec<OsString>, given: &ArgMatches) -> ExitCode {
    let program = command();
    let Some(shape) = program.find_subcommand(name) else { return ExitCode::FAILURE };
    let arguments = match settings::with_file(arguments, given, shape) {
        Ok(arguments) => arguments,
        Err(error) => return finish(Err(error)),
    };
    let matches = match program.clone().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return usage(&error),
    };
    let Some((_, matches)) = matches.subcommand() else { return ExitCode::FAILURE };
    if name == "agent" {
        return match AgentSettings::from_arg_matches(matches) {
            Ok(settings) => finish(agent::run(settings)),
            Err(error) => usage(&error),
        };
    }
    let applied = settings::applied(matches, shape);
    if name == "controller" {
        return match ControllerSettings::from_arg_matches(matches) {
            Ok(settings) => finish(controller::run(settings, applied)),
            Err(error) => usage(&error),
        };
    }
    let settings = match Settings::from_arg_matches(matches) {
        Ok(settings) => settings,
        Err(error) => return usage(&error),
    };
    if name == "serve" {
        return match TakeoverSettings::from_arg_matches(matches) {
            Ok(successor) => finish(serve::run(settings, successor.takeover, applied)),
            Err(error) => usage(&error),
        };
    }
    match demo::Options::from_arg_matches(matches) {
        Ok(options) => finish(demo::run(settings, applied, &options)),
        Err(error) => usage(&error),
    }
}

fn client(matches: &ArgMatches, program: Command, is_plugin: bool) -> ExitCode {
    let (verb, connection) = match cli::parse(matches) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.into())),
    };
    match runtime.block_on(reach::run(verb, connection, program, is_plugin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Help and version are no errors; a wrong command line is exit code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

/// A reader who has gone has seen enough.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The last word; nobody is left to be told that it cannot be said.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
