//! What the help says of every verb.

use clap::Command;

use super::augment;

fn program() -> Command {
    augment(Command::new("vamp").about("The program").subcommand(Command::new("serve").about("The server")))
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn the_help_says_what_each_verb_does() {
    let mut program = program();
    program.build();
    assert_eq!(about(&program), "The program");
    let mut seen = vec![about(&program)];
    for verb in program.get_subcommands() {
        let text = about(verb);
        assert!(!text.is_empty(), "{} is not described", verb.get_name());
        assert!(!seen.contains(&text), "{} is described as something else: {text}", verb.get_name());
        seen.push(text);
    }
    let weight = program.find_subcommand("weight").map(about).unwrap_or_default();
    assert!(weight.starts_with("Move traffic"), "{weight}");
}

/// Whoever reads the help of a verb sees a line to copy.
#[test]
fn every_verb_of_the_client_shows_an_example() {
    fn check(command: &Command) {
        let inner: Vec<&Command> =
            command.get_subcommands().filter(|c| !matches!(c.get_name(), "help" | "serve")).collect();
        if inner.is_empty() {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.contains("vamp "), "{} has no example", command.get_name());
        }
        inner.into_iter().for_each(check);
    }
    check(&program());
}
