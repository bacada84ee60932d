//! What the installation starts must be what this program understands, with the ports that it opens.

use clap::FromArgMatches as _;

use super::{AgentSettings, ControllerSettings};

/// The items of the YAML lists with this key, in their order.
fn lists<'a>(manifest: &'a str, key: &str) -> Vec<Vec<&'a str>> {
    let mut lists: Vec<Vec<&str>> = Vec::new();
    let mut inside = None;
    for line in manifest.lines() {
        let (depth, text) = (line.len() - line.trim_start().len(), line.trim());
        if text == format!("{key}:") {
            lists.push(Vec::new());
            inside = Some(depth);
        } else if let Some(item) = text.strip_prefix("- ").filter(|_| inside.is_some_and(|it| depth >= it)) {
            lists.last_mut().unwrap().push(item.trim_matches('"'));
        } else {
            inside = None;
        }
    }
    lists
}

#[test]
fn what_is_installed_is_understood() {
    let manifest = include_str!("../../../../deploy/install.yaml");
    let (arguments, ports) = (lists(manifest, "args"), lists(manifest, "ports"));
    let parse = |arguments: &[&str]| {
        // Kubernetes fills in variables.
        let filled = arguments
            .iter()
            .map(|text| text.replace("$(POD_NAME)", "pod-1").replace("$(POD_NAMESPACE)", "shop"));
        let words = std::iter::once("vamp".to_owned()).chain(filled);
        crate::command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
    };
    let declared = |name: &str, port: u16| {
        let port = format!("{{name: {name}, containerPort: {port}}}");
        assert!(ports.iter().flatten().any(|it| *it == port), "{port} is not in {ports:?}");
    };
    assert_eq!(arguments.len(), 2, "{arguments:?}");
    let controller = parse(&arguments[0]);
    let (name, given) = controller.subcommand().unwrap();
    assert_eq!(name, "controller");
    let controller = ControllerSettings::from_arg_matches(given).unwrap();
    declared("api", controller.api.listen.port());
    declared("agents", controller.agent_listen.port());
    let agent = parse(&arguments[1]);
    let (name, given) = agent.subcommand().unwrap();
    assert_eq!(name, "agent");
    let agent = AgentSettings::from_arg_matches(given).unwrap();
    assert_eq!((agent.environment(), agent.name()), ("shop".into(), "pod-1".into()));
    declared("http", agent.follower.listen.virtual_host_listen.port());
    declared("admin", agent.admin_listen.port());
    let known = &controller.reserved_ports;
    for port in [agent.follower.listen.virtual_host_listen.port(), agent.admin_listen.port()] {
        assert!(known.contains(&port), "a gateway could get port {port} of the agents: {known:?}");
    }
}
