//! What the facts mean. Pure: every finding is a row of a table test.

use std::collections::BTreeMap;

use super::facts::{Checked, Controller, Definition, Facts, Lease, Pods};
use super::{Finding, Level};
use crate::access::rights::{Scope, VAMP_GROUP};

/// The oldest Kubernetes that Vamp works with.
const OLDEST: (u32, u32) = (1, 20);
/// Leases and tokens bear less difference between clocks than this, in seconds.
const CLOCKS: i64 = 10;
/// Names in one message; more are counted.
const NAMES: usize = 5;

fn fine(message: impl Into<String>) -> Finding {
    Finding { level: Level::Fine, message: message.into(), mend: None }
}

fn warning(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, message: message.into(), mend: Some(mend.into()) }
}

fn error(message: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { level: Level::Error, message: message.into(), mend: Some(mend.into()) }
}

/// Something cannot be seen: no reason to worry, and none not to.
fn unknown(what: &str, why: &str) -> Finding {
    warning(
        format!("{what} cannot be checked: {why}"),
        "ask somebody who administers the cluster to run `vamp check`",
    )
}

fn names<'a>(all: impl IntoIterator<Item = &'a String>) -> String {
    let all: Vec<&str> = all.into_iter().map(String::as_str).collect();
    match all.len().checked_sub(NAMES) {
        Some(more) if more > 0 => format!("{} and {more} more", all[..NAMES].join(", ")),
        _ => all.join(", "),
    }
}

/// Everything that was looked at, in the order in which one thing needs the other.
pub fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    if !server(facts, &mut all) {
        return all;
    }
    definitions(facts, &mut all);
    own_rights(facts, &mut all);
    controller(facts, &mut all);
    controller_rights(facts, &mut all);
    authority(facts, &mut all);
    agents(facts, &mut all);
    gateways(facts, &mut all);
    services(facts, &mut all);
    webhooks(facts, &mut all);
    all
}

/// False when nothing else can be known.
fn server(facts: &Facts, all: &mut Vec<Finding>) -> bool {
    let server = match &facts.server {
        Ok(server) => server,
        Err(why) => {
            all.push(error(
                format!("the API server cannot be reached: {why}"),
                "check --kubeconfig and --context with `kubectl version`",
            ));
            return false;
        }
    };
    let (major, minor) = OLDEST;
    if server.number < OLDEST {
        all.push(error(
            format!("the API server is Kubernetes {}", server.version),
            format!("Vamp needs {major}.{minor} or later"),
        ));
    } else {
        all.push(fine(format!("the API server answers, Kubernetes {}", server.version)));
    }
    match server.ahead_seconds {
        Some(ahead) if ahead.abs() > CLOCKS => all.push(warning(
            format!("the clock here and that of the API server are {} s apart", ahead.abs()),
            "set the clocks, for example with NTP; tokens and leases depend on them",
        )),
        Some(_) => all.push(fine("the clocks agree")),
        None => {}
    }
    true
}

fn definitions(facts: &Facts, all: &mut Vec<Finding>) {
    const INSTALL: &str = "apply the definitions of this version: kubectl apply -f deploy/crds/ (with --validate=false before Kubernetes 1.25)";
    for (name, answer) in &facts.definitions {
        all.push(match answer {
            Ok(Definition::Same) => fine(format!("{name} is defined as this version needs it")),
            Ok(Definition::Served) => {
                fine(format!("{name} is served (you may not compare its definition with this version's)"))
            }
            Ok(Definition::Missing) => error(format!("{name} is not defined in the cluster"), INSTALL),
            Ok(Definition::Different(place)) => warning(
                format!("{name} is defined in another way than this version does it, first at {place}"),
                INSTALL,
            ),
            Err(why) => unknown(&format!("the definition of {name}"), why),
        });
    }
}

fn own_rights(facts: &Facts, all: &mut Vec<Finding>) {
    for checked in &facts.own_rights {
        let place = checked.namespace.as_deref().unwrap_or_default();
        let what = format!("{} in namespace '{place}'", checked.right.why);
        all.push(match &checked.missing {
            Ok(missing) if missing.is_empty() => fine(format!("you may {what}")),
            Ok(missing) => {
                let role = match checked.right.group {
                    VAMP_GROUP => {
                        "the ClusterRole vamp-operator (vamp-viewer to look only), part of edit and view"
                    }
                    _ => "the ClusterRole edit",
                };
                warning(
                    format!(
                        "you may not {what}: {} {} is missing",
                        missing.join(", "),
                        checked.right.resource
                    ),
                    format!("ask for {role}, or the rule {}", checked.right.rule_text()),
                )
            }
            Err(why) => unknown(&format!("whether you may {what}"), why),
        });
    }
}

fn controller(facts: &Facts, all: &mut Vec<Finding>) {
    let place = format!("in namespace '{}'", facts.installation);
    let show =
        format!("kubectl -n {} describe deployment,pods -l app.kubernetes.io/name=vamp", facts.installation);
    match &facts.controller {
        Ok(Some(Controller { kind, wanted, ready })) if ready >= wanted && *wanted > 0 => {
            all.push(fine(format!("the controller is ready, {ready} of {wanted} ({kind} {place})")));
        }
        Ok(Some(Controller { wanted: 0, .. })) => all.push(error(
            format!("the controller is scaled to nothing {place}; agents go on with what they have"),
            format!("kubectl -n {} scale deployment vamp-controller --replicas 1", facts.installation),
        )),
        Ok(Some(Controller { wanted, ready, .. })) => {
            let message = format!("{ready} of {wanted} controllers are ready {place}");
            all.push(if *ready == 0 { error(message, show.clone()) } else { warning(message, show.clone()) });
        }
        Ok(None) => all.push(error(
            format!("there is no Deployment 'vamp-controller' {place}"),
            "give its namespace with --installation, or install it",
        )),
        Err(why) => all.push(unknown("the controller", why)),
    }
    if let Ok(Pods { waiting, .. }) = &facts.controller_pods {
        for (name, why) in waiting.iter().take(NAMES) {
            all.push(warning(
                format!("controller pod {name} is not ready: {why}"),
                format!("kubectl -n {} describe pod {name}", facts.installation),
            ));
        }
    }
    leader(facts, all);
}

fn leader(facts: &Facts, all: &mut Vec<Finding>) {
    let logs = format!("kubectl -n {} logs deployment/vamp-controller", facts.installation);
    let labelled = facts.controller_pods.as_ref().map(|pods| pods.leaders.as_slice()).unwrap_or_default();
    match &facts.lease {
        Ok(Some(Lease { holder, age_seconds, duration_seconds })) => {
            let late = age_seconds.is_some_and(|age| age > *duration_seconds + CLOCKS);
            if holder.is_empty() || late {
                all.push(error(
                    "no controller leads: nobody holds the Lease 'vamp-controller'. Traffic goes on; changes have to wait",
                    logs.clone(),
                ));
            } else {
                all.push(fine(format!("{holder} leads")));
            }
            if facts.controller_pods.is_ok() && labelled.len() != 1 && !holder.is_empty() && !late {
                all.push(error(
                    format!(
                        "{} pods carry the label vamp.io/leader=true, which the Services lead to",
                        labelled.len()
                    ),
                    format!("it should be one, set by the leader itself within seconds: {logs}"),
                ));
            }
        }
        Ok(None) => all.push(error("no controller ever led: there is no Lease 'vamp-controller'", logs)),
        Err(why) => all.push(unknown("who leads", why)),
    }
}

fn controller_rights(facts: &Facts, all: &mut Vec<Finding>) {
    let mut complete: BTreeMap<Scope, bool> = BTreeMap::new();
    let mut nothing: BTreeMap<Scope, bool> = BTreeMap::new();
    let mut unclear: BTreeMap<Scope, &str> = BTreeMap::new();
    let mut absent: BTreeMap<Scope, Vec<&Checked>> = BTreeMap::new();
    for checked in &facts.controller_rights {
        let scope = checked.right.scope;
        match &checked.missing {
            Ok(missing) => {
                *complete.entry(scope).or_insert(true) &= missing.is_empty();
                *nothing.entry(scope).or_insert(true) &= missing.len() == checked.right.verbs.len();
                if !missing.is_empty() {
                    absent.entry(scope).or_default().push(checked);
                }
            }
            Err(why) => {
                unclear.insert(scope, why);
            }
        }
    }
    for scope in Scope::ALL {
        let role = scope.role();
        if let Some(why) = unclear.get(&scope) {
            all.push(unknown(&format!("whether the controller has the rights of {role}"), why));
            continue;
        }
        if complete.get(&scope) == Some(&true) {
            all.push(fine(format!("the controller has every right of {role}")));
            continue;
        }
        let missing = absent.remove(&scope).unwrap_or_default();
        match scope {
            Scope::Environment | Scope::Installation if nothing.get(&scope) == Some(&true) => {
                let place = missing.first().and_then(|checked| checked.namespace.as_deref()).unwrap_or_default();
                all.push(error(
                    format!("the controller has none of the rights of {role} in namespace '{place}'"),
                    format!(
                        "bind the Role {role} there to the service account vamp-controller of namespace '{}', or install it \
                         again",
                        facts.installation
                    ),
                ));
            }
            Scope::Environment | Scope::Installation => {
                for checked in missing {
                    let place = checked.namespace.as_deref().unwrap_or_default();
                    let verbs = checked.missing.as_ref().map(|verbs| verbs.join(", ")).unwrap_or_default();
                    all.push(error(
                        format!(
                            "the controller may not {verbs} {} in namespace '{place}', which it needs to {}",
                            checked.right.resource, checked.right.why
                        ),
                        format!("give the Role {role} the rule {}, or install it again", checked.right.rule_text()),
                    ));
                }
            }
            Scope::Delegation => all.push(warning(
                "the controller may not ask the API server who callers are: only tokens of --token-file are accepted",
                format!(
                    "kubectl create clusterrolebinding vamp-delegation:{0} --clusterrole {role} --serviceaccount \
                     {0}:vamp-controller",
                    facts.installation
                ),
            )),
            Scope::Discovery => all.push(fine(
                "environments are those of --namespace: the controller may not look for others (vamp-discovery)",
            )),
            Scope::Elsewhere => all.push(fine(
                "instances are looked for in the environment only: the controller may not look elsewhere (vamp-elsewhere)",
            )),
        }
    }
}

fn authority(facts: &Facts, all: &mut Vec<Finding>) {
    let restart = format!("kubectl -n {} rollout restart deployment vamp-controller", facts.installation);
    match (&facts.authority, &facts.published) {
        (Ok(None), _) => all.push(error(
            format!(
                "there is no Secret 'vamp-ca' in namespace '{}': agents cannot trust the controller",
                facts.installation
            ),
            format!("the controller makes it when it starts: {restart}"),
        )),
        (_, Ok(None)) => all.push(error(
            format!(
                "there is no ConfigMap 'vamp-ca' in namespace '{}': agents there cannot connect",
                facts.environment
            ),
            format!("the controller publishes it when it starts to serve the environment: {restart}"),
        )),
        (Ok(Some(secret)), Ok(Some(published))) => {
            let same = base64(secret).is_some_and(|certificate| certificate.trim() == published.trim());
            if same {
                all.push(fine("agents see the certificate authority of the controller"));
            } else {
                all.push(error(
                    format!(
                        "the ConfigMap 'vamp-ca' in namespace '{}' is not the certificate in the Secret 'vamp-ca' of \
                         namespace '{}': agents refuse the controller",
                        facts.environment, facts.installation
                    ),
                    restart,
                ));
            }
        }
        (Err(_), Ok(Some(_))) => {
            all.push(fine(
                "agents see a certificate authority (you may not compare it with the controller's)",
            ));
        }
        (_, Err(why)) => all.push(unknown("the certificate authority that agents see", why)),
    }
}

/// Text that a Secret holds.
pub(super) fn base64(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits = 0_u32;
    let mut count = 0;
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    String::from_utf8(bytes).ok()
}

fn agents(facts: &Facts, all: &mut Vec<Finding>) {
    let place = format!("in namespace '{}'", facts.environment);
    let describe = format!("kubectl -n {} describe pods -l io.vamp=vamp-gateway-agent", facts.environment);
    match &facts.agents {
        Ok(Pods { ready, waiting, .. }) if ready.is_empty() && waiting.is_empty() => all.push(error(
            format!("there is no agent {place}: no pod carries the label io.vamp=vamp-gateway-agent, so nothing serves"),
            "install the Deployment or DaemonSet 'vamp-gateway-agent' there",
        )),
        Ok(Pods { ready, waiting, .. }) => {
            if ready.is_empty() {
                all.push(error(format!("no agent is ready {place}"), describe.clone()));
            } else {
                all.push(fine(format!("agents are ready {place}: {}", names(ready))));
            }
            for (name, why) in waiting.iter().take(NAMES) {
                all.push(warning(format!("agent pod {name} is not ready: {why}"), describe.clone()));
            }
        }
        Err(why) => all.push(unknown("the agents", why)),
    }
}

fn gateways(facts: &Facts, all: &mut Vec<Finding>) {
    let gateways = match &facts.gateways {
        Ok(gateways) => gateways,
        Err(why) => return all.push(unknown("gateways", why)),
    };
    let failing: Vec<_> = gateways.iter().filter(|gateway| !gateway.failing.is_empty()).collect();
    if failing.is_empty() {
        all.push(fine(format!("no condition of the {} gateways is False", gateways.len())));
    }
    for gateway in failing {
        for (condition, message) in &gateway.failing {
            let text = format!("gateway {} is not {condition}: {message}", gateway.name);
            let show =
                format!("kubectl -n {} describe gateway.{VAMP_GROUP} {}", facts.environment, gateway.name);
            all.push(if condition == "Accepted" { error(text, show) } else { warning(text, show) });
        }
    }
}

fn services(facts: &Facts, all: &mut Vec<Finding>) {
    let services = match &facts.services {
        Ok(services) => services,
        Err(why) => return all.push(unknown("the Services of gateways", why)),
    };
    let mut good = 0;
    for service in services {
        let name = &service.name;
        match (service.own, service.leads_to_agents) {
            (true, true) => good += 1,
            (true, false) => all.push(error(
                format!("the Service {name} of a gateway does not lead to pods with the label io.vamp=vamp-gateway-agent"),
                "the controller mends it within seconds while it leads: see above whether one does",
            )),
            (false, _) => all.push(error(
                format!(
                    "the Service {name} in namespace '{}' is not Vamp's and has the name that a gateway's would have; it is \
                     left alone, and the gateway has none",
                    facts.environment
                ),
                "rename the gateway or that Service",
            )),
        }
    }
    if good == services.len() {
        all.push(fine(format!("{good} Services of gateways lead to the agents")));
    }
}

fn webhooks(facts: &Facts, all: &mut Vec<Finding>) {
    match &facts.webhooks {
        Ok(found) if found.is_empty() => {
            all.push(fine("no webhook stands between the API server and Vamp's resources"));
        }
        Ok(found) => all.push(warning(
            format!("webhooks may refuse or change Vamp's resources: {}", names(found)),
            format!(
                "if changes are refused without a reason of Vamp's, leave the group {VAMP_GROUP} out of them"
            ),
        )),
        // Only few may see them, and Vamp has none of its own.
        Err(_) => {}
    }
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
