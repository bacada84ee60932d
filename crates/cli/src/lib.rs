//! The command line client: every verb is one or a few calls of the REST API.
//!
//! ```text
//! args::Verb --run--> verbs::* --client::Client--> API
//!                        |
//!                        +--> output: table | wide | json | yaml | name on stdout; talk goes to stderr
//! ```
//!
//! Exit codes: 0 good, 1 refused or failed, 2 usage, 3 not reachable.

pub mod args;
mod client;
mod error;
mod output;
mod verbs;

use std::ffi::OsString;

use clap::builder::{Resettable, StyledStr};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand as _};

pub use args::{Connection, Verb, duration};
pub use error::Error;
pub use verbs::check::{Finding, Level};

/// Adds every verb, each with the connection flags, to the program's command.
pub fn augment(program: Command) -> Command {
    let own: Vec<String> = program.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let about = program.get_about().cloned();
    let mut program = about_again(Verb::augment_subcommands(program), about);
    let verbs: Vec<String> = program
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .filter(|name| !own.contains(name))
        .collect();
    for verb in verbs {
        program = program.mut_subcommand(verb, |command| {
            let about = command.get_about().cloned();
            about_again(Connection::augment_args(command), about)
        });
    }
    program
}

/// The arguments with connection flags before the verb moved behind it: `vamp -n shop get gateways` as kubectl would take it.
/// Anything else stays where it is.
pub fn verb_first(arguments: Vec<OsString>) -> Vec<OsString> {
    let connection = Connection::augment_args(Command::new("connection"));
    let mut end = 1;
    while let Some(argument) = arguments.get(end).map(|argument| argument.to_string_lossy()) {
        if !argument.starts_with('-') {
            break;
        }
        let Some(takes) = connection.get_arguments().find_map(|known| takes(known, &argument)) else {
            return arguments;
        };
        end += takes;
    }
    if end == 1 || end >= arguments.len() {
        return arguments;
    }
    let mut sorted = arguments;
    // [program, flags.., verb, rest..] -> [program, verb, flags.., rest..]
    sorted[1..=end].rotate_right(1);
    sorted
}

/// How many arguments a flag is, with its value, when it is this one.
fn takes(known: &clap::Arg, argument: &str) -> Option<usize> {
    let longs = known.get_long().into_iter().chain(known.get_visible_aliases().into_iter().flatten());
    for long in longs {
        let Some(rest) = argument.strip_prefix("--").and_then(|text| text.strip_prefix(long)) else {
            continue;
        };
        match rest.chars().next() {
            None => return Some(2),
            Some('=') => return Some(1),
            Some(_) => {}
        }
    }
    let rest = argument.strip_prefix('-')?.strip_prefix(known.get_short()?)?;
    Some(if rest.is_empty() { 2 } else { 1 })
}

/// Flattened groups bring the comment of their own type along as the command's description; this puts the old one back.
fn about_again(command: Command, about: Option<StyledStr>) -> Command {
    command.about(about.map_or(Resettable::Reset, Resettable::Value)).long_about(None::<&str>)
}

/// The verb and the connection of a parsed command line.
///
/// # Errors
/// None for matches of a command that [`augment`] made and that name a verb.
pub fn parse(matches: &ArgMatches) -> Result<(Verb, Connection), clap::Error> {
    let verb = Verb::from_arg_matches(matches)?;
    let Some((_, given)) = matches.subcommand() else {
        return Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand));
    };
    let mut connection = Connection::from_arg_matches(given)?;
    connection.url_given = given.value_source("url").is_some_and(|source| source == ValueSource::CommandLine);
    Ok((verb, connection))
}

/// Runs one verb. `whole` is the command of the whole program, for completions.
///
/// # Errors
/// What went wrong, with the exit code that belongs to it ([`Error::exit_code`]).
pub async fn run(verb: Verb, connection: Connection, whole: Command) -> Result<(), Error> {
    verbs::run(verb, connection, whole).await
}

/// The verb `check` after somebody else has looked already: prints what they found and, where the API can be asked, what it
/// says.
///
/// # Errors
/// There is an error among the findings, or they cannot be printed.
pub async fn check(
    found: Vec<Finding>,
    connection: Option<&Connection>,
    format: args::Format,
) -> Result<(), Error> {
    match connection {
        Some(connection) => verbs::check::check(found, &client::Client::new(connection)?, format).await,
        None => verbs::check::report(&found, format),
    }
}

/// Prints an error the way every verb does: what, where, the way out.
pub fn report(error: &Error) {
    output::report(error);
}

#[cfg(test)]
mod tests;
