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

use clap::builder::{Resettable, StyledStr};
use clap::{ArgMatches, Args as _, Command, FromArgMatches as _, Subcommand as _};

pub use args::{Connection, Verb, duration};
pub use error::Error;

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
    let connection = matches.subcommand().map(|(_, verb)| Connection::from_arg_matches(verb));
    Ok((
        verb,
        connection.unwrap_or_else(|| Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)))?,
    ))
}

/// Runs one verb. `whole` is the command of the whole program, for completions.
///
/// # Errors
/// What went wrong, with the exit code that belongs to it ([`Error::exit_code`]).
pub async fn run(verb: Verb, connection: Connection, whole: Command) -> Result<(), Error> {
    verbs::run(verb, connection, whole).await
}

/// Prints an error the way every verb does: what, where, the way out.
pub fn report(error: &Error) {
    output::report(error);
}

#[cfg(test)]
mod tests;
