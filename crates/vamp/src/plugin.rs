//! The same program as a plug-in of kubectl: under the name `kubectl-vamp` it is `kubectl vamp`, and under the name
//! `kubectl_complete-vamp` it completes what is typed after that.
//!
//! kubectl finds plug-ins by their names on the PATH, so two links to `vamp` install them.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command};

/// What the program was called as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// `vamp`, or anything else.
    Vamp,
    /// `kubectl-vamp`.
    Plugin,
    /// `kubectl_complete-vamp`.
    Completer,
}

impl Name {
    /// From the first word of the command line.
    pub(crate) fn of(program: Option<&OsStr>) -> Self {
        match program.and_then(|program| Path::new(program).file_stem()).and_then(OsStr::to_str) {
            Some("kubectl-vamp") => Self::Plugin,
            Some("kubectl_complete-vamp") => Self::Completer,
            _ => Self::Vamp,
        }
    }

    /// How help calls it; `None` leaves that to the command line.
    pub(crate) fn shown(self) -> Option<&'static str> {
        (self != Self::Vamp).then_some("kubectl vamp")
    }
}

/// Says so to the shell, in kubectl's convention, when names of files are to be completed instead.
const FILES: &str = ":0\n";
/// The same, when there is nothing beyond what was printed.
const NOTHING_ELSE: &str = ":4\n";

/// What may stand in place of the last of `words`, one candidate a line with its meaning, and how to go on.
pub(crate) fn complete(program: &Command, words: &[String]) -> String {
    let (last, before) = words.split_last().map_or(("", words), |(last, before)| (last.as_str(), before));
    let mut command = program;
    let mut pending: Option<&Arg> = None;
    for word in before {
        if pending.take().is_some() {
            continue;
        }
        if let Some(flag) = word.strip_prefix('-') {
            pending = argument(command, flag.trim_start_matches('-'))
                .filter(|argument| argument.get_action().takes_values());
        } else if let Some(found) = command.find_subcommand(word) {
            command = found;
        }
    }
    if let Some(argument) = pending {
        return values(argument, last);
    }
    let mut out = String::new();
    let mut offer = |name: &str, help: Option<String>| {
        if name.starts_with(last) {
            let help = help.unwrap_or_default();
            let _ = writeln!(out, "{name}\t{}", help.lines().next().unwrap_or_default());
        }
    };
    if last.starts_with('-') {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            if let Some(long) = argument.get_long() {
                offer(&format!("--{long}"), argument.get_help().map(ToString::to_string));
            }
        }
    } else {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            offer(inner.get_name(), inner.get_about().map(ToString::to_string));
        }
    }
    out + NOTHING_ELSE
}

/// The flag that is written `--NAME` or `-N`.
fn argument<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|argument| {
        argument.get_long() == Some(name)
            || argument.get_short().is_some_and(|short| name.chars().eq(std::iter::once(short)))
            || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    })
}

fn values(argument: &Arg, begun: &str) -> String {
    let possible = argument.get_possible_values();
    if possible.is_empty() {
        let is_file = argument
            .get_value_names()
            .is_some_and(|names| names.iter().any(|name| matches!(name.as_str(), "FILE" | "PATH" | "DIR")));
        return if is_file { FILES } else { NOTHING_ELSE }.to_owned();
    }
    let mut out = String::new();
    for value in possible.iter().filter(|value| value.get_name().starts_with(begun)) {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(out, "{}\t{help}", value.get_name());
    }
    out + NOTHING_ELSE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let text = complete(&crate::command(), &words);
        text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_name_says_how_it_was_called() {
        let name = |text: &str| Name::of(Some(OsStr::new(text)));
        assert_eq!(name("vamp"), Name::Vamp);
        assert_eq!(name("/usr/local/bin/kubectl-vamp"), Name::Plugin);
        assert_eq!(name("kubectl-vamp.exe"), Name::Plugin);
        assert_eq!(name("./kubectl_complete-vamp"), Name::Completer);
        assert_eq!(Name::of(None), Name::Vamp);
    }

    #[test]
    fn verbs_flags_and_values_are_completed() {
        let verbs = offered(&[""]);
        assert!(verbs.contains(&"apply".into()) && verbs.contains(&"weight".into()), "{verbs:?}");
        assert!(!verbs.contains(&"sava-cart".into()), "hidden: {verbs:?}");
        assert_eq!(offered(&["weig"]), ["weight", ":4"]);
        assert_eq!(offered(&["route", "t"]), ["test", ":4"]);
        assert_eq!(offered(&["get", "gateways", "--wat"]), ["--watch", ":4"]);
        assert_eq!(offered(&["get", "gateways", "-o", "js"]), ["json", ":4"]);
        assert_eq!(offered(&["get", "--output", "t"]), ["table", ":4"]);
        assert_eq!(offered(&["apply", "-f", ""]), [":0"], "files");
        assert_eq!(offered(&["nonsense", "x"]), [":4"]);
        assert_eq!(offered(&[]).last().unwrap(), ":4");
    }
}
