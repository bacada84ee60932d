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

#[test]
fn connection_flags_may_come_before_the_verb() {
    for (given, expected) in [
        ("vamp get gateways", "vamp get gateways"),
        ("vamp -n shop get gateways", "vamp get -n shop gateways"),
        ("vamp -nshop --context=c get x", "vamp get -nshop --context=c x"),
        (
            "kubectl-vamp --kubeconfig f --namespace shop --env e weight g a=1%",
            "kubectl-vamp weight --kubeconfig f --namespace shop --env e g a=1%",
        ),
        ("vamp --help", "vamp --help"),
        ("vamp -n shop --help", "vamp -n shop --help"),
        ("vamp --urls x get", "vamp --urls x get"),
        ("vamp -n", "vamp -n"),
        ("vamp -n shop", "vamp -n shop"),
        ("vamp", "vamp"),
        ("", ""),
    ] {
        let words: Vec<std::ffi::OsString> = given.split_whitespace().map(Into::into).collect();
        let words: Vec<String> =
            super::verb_first(words).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(words.join(" "), expected, "{given}");
    }
}
