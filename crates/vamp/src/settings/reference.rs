//! `docs/user/settings.md` is made from the flags of the commands that serve, so that it cannot leave one out or say something else.

use std::path::Path;

use clap::Command;

const HEAD: &str = "\
# Settings

<!-- Made from the flags: VAMP_UPDATE=1 cargo test -p vamp settings -->

A flag comes before its environment variable, that before the file given with `--config`, and that before the default. In the file a key is a
flag's name without the dashes; a flag that may be repeated takes a list:

```yaml
api-listen: 127.0.0.1:8090
inventory: [shop, pods.yaml]
```

A time needs a unit: `ms`, `s`, `m` or `h`. In an environment variable several values are separated by commas. `GET /api/v1/config` shows what
is in force.
";

const TABLE: &str = "\
| flag | environment | default | meaning |
|---|---|---|---|
";

/// Commands with settings of their own, and what they are for.
const COMMANDS: [(&str, &str); 3] = [
    ("serve", "Everything in one process."),
    (
        "controller",
        "API and control for one or several environments on Kubernetes. On Kubernetes the defaults fit a pod as the installation makes it.",
    ),
    (
        "agent",
        "The proxy only, led by a controller. On Kubernetes the defaults fit a pod as the installation makes it.",
    ),
];

fn page(program: &Command) -> String {
    let section = |(name, about): (&str, &str)| {
        let command = program.find_subcommand(name).unwrap();
        format!("\n## `vamp {name}`\n\n{about}\n\n{TABLE}{}", rows(command))
    };
    HEAD.to_owned() + &COMMANDS.map(section).concat()
}

fn rows(command: &Command) -> String {
    let mut page = String::new();
    let mut under = None;
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| !matches!(*long, "help" | "version")) else {
            continue;
        };
        let heading = argument.get_help_heading();
        if let Some(heading) = heading.filter(|heading| under != Some(*heading)) {
            page.push_str(&format!("\n### {heading}\n\n{TABLE}"));
        }
        under = heading;
        let value = argument
            .get_value_names()
            .and_then(<[_]>::first)
            .map(|name| format!(" {}", name.replace('|', "\\|")));
        let environment = argument.get_env().map(|name| name.to_string_lossy()).unwrap_or_default();
        let default = argument
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(", ");
        let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let words: Vec<String> =
            argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !words.is_empty() {
            meaning.push_str(&format!(": {}", words.join(" or ")));
        }
        page.push_str(&format!(
            "| `--{long}{}` | `{environment}` | {} | {} |\n",
            value.unwrap_or_default(),
            if default.is_empty() { "-" } else { &default },
            meaning.replace('|', "\\|")
        ));
    }
    page
}

/// Set `VAMP_UPDATE=1` to write it.
#[test]
fn the_page_of_settings_is_fresh() {
    let program = crate::command();
    let fresh = page(&program);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/settings.md");
    if std::env::var_os("VAMP_UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "docs/user/settings.md is stale: run VAMP_UPDATE=1 cargo test -p vamp settings"
    );
}

/// A flag that cannot be set from the environment, or that says nothing, would leave a hole in the table.
#[test]
fn every_setting_has_a_variable_and_a_meaning() {
    let program = crate::command();
    for argument in
        COMMANDS.iter().flat_map(|(name, _)| program.find_subcommand(name).unwrap().get_arguments())
    {
        let Some(long) = argument.get_long() else { continue };
        let expected = format!("VAMP_{}", long.to_uppercase().replace('-', "_"));
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        assert_eq!(variable, Some(expected), "--{long}");
        assert!(argument.get_help().is_some_and(|help| !help.to_string().is_empty()), "--{long}");
    }
}
