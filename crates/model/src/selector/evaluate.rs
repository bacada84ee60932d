//! The candidates of an instance (sections 8.2 and 8.3, R16 to R20).
//!
//! The universe of one instance is its (container, TCP port) pairs. Every operand says yes or no to each of them and adds what
//! it captured. `and` and `or` join the captures of the sides that hold, `not` drops those inside.

use std::net::SocketAddr;

use super::{Candidate, Namespace, Node, Operand, Selector};
use crate::instance::{Container, Instance, InstanceKind};
use crate::syntax::pattern::{Match, Pattern};

/// What one test looks at.
struct Subject<'a> {
    instance: &'a Instance,
    /// The environment's own namespace.
    own_namespace: &'a str,
}

/// One member of the universe. A container without ports has no place for `port` and `index` to look at.
#[derive(Clone, Copy)]
struct Member<'a> {
    container: &'a Container,
    /// Position and number.
    port: Option<(usize, u16)>,
}

impl Selector {
    /// All candidates of one instance that the selector matches, in container and port order.
    /// `namespace` is the environment's own, for `$namespace`.
    pub fn candidates(&self, instance: &Instance, namespace: &str) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let Some(subject) = self.subject(instance, namespace) else { return candidates };
        for container in &instance.containers {
            for (index, port) in container.ports.iter().enumerate().filter(|(_, port)| port.tcp) {
                let member = Member { container, port: Some((index, port.number)) };
                let mut captures = Vec::new();
                if !self.holds(&subject, member, &mut captures) {
                    continue;
                }
                candidates.push(Candidate {
                    address: instance.ip.map(|ip| SocketAddr::new(ip, port.number)),
                    instance: instance.name.clone(),
                    container: container.name.clone(),
                    port: port.number,
                    captures: captures.into_iter().collect(),
                    app_protocol: port.app_protocol.clone().or_else(|| port.name.clone()),
                });
            }
        }
        candidates
    }

    /// True when the selector matches a container that declares no TCP port, and so can be no candidate (R20). A `port` or
    /// `index` operand never matches such a container.
    pub fn portless_matches(&self, instance: &Instance, namespace: &str) -> bool {
        let Some(subject) = self.subject(instance, namespace) else { return false };
        instance
            .containers
            .iter()
            .filter(|container| container.ports.iter().all(|port| !port.tcp))
            .any(|container| self.holds(&subject, Member { container, port: None }, &mut Vec::new()))
    }

    /// The instance as it is looked at; `None` when it is not looked at at all.
    fn subject<'a>(&self, instance: &'a Instance, own_namespace: &'a str) -> Option<Subject<'a>> {
        let looked_at = match instance.kind {
            // Labels are what a pod is chosen by (18.3): one without any was not meant for anybody.
            InstanceKind::Pod => !instance.labels.is_empty(),
            InstanceKind::Service => {
                // Gateways have Services of their own; sending traffic there would loop. Headless ones have no address.
                let own = instance.labels.get("io.vamp").is_some_and(|value| value == "gateway");
                self.services && !own && instance.ip.is_some()
            }
        };
        looked_at.then_some(Subject { instance, own_namespace })
    }

    fn holds<'a>(&'a self, subject: &'a Subject<'a>, member: Member<'a>, captures: &mut Vec<String>) -> bool {
        self.all.iter().all(|node| node.holds(subject, member, captures))
    }
}

impl Node {
    /// True when some `kind` operand matches services (R18).
    pub(super) fn asks_for_services(&self) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(Self::asks_for_services),
            Self::Not(part) => part.asks_for_services(),
            Self::Operand(Operand::Kind(pattern)) => pattern.matches("service").holds(),
            Self::Operand(_) => false,
        }
    }

    /// Adds the labels that are there whenever the node holds.
    pub(super) fn required_labels<'a>(&'a self, labels: &mut Vec<(&'a str, &'a str)>) {
        match self {
            Self::And(parts) => parts.iter().for_each(|part| part.required_labels(labels)),
            Self::Operand(Operand::Label { key, value }) => {
                labels.extend(key.fixed().zip(value.fixed()));
            }
            Self::Or(_) | Self::Not(_) | Self::Operand(_) => {}
        }
    }

    /// Whether the node matches; what it captured is added, and nothing when it does not match.
    fn holds(&self, subject: &Subject<'_>, member: Member<'_>, captures: &mut Vec<String>) -> bool {
        let mark = captures.len();
        match self {
            Self::And(parts) => {
                let all = parts.iter().all(|part| part.holds(subject, member, captures));
                if !all {
                    captures.truncate(mark);
                }
                all
            }
            // No short cut: every side that holds adds its captures.
            Self::Or(parts) => {
                let mut any = false;
                for part in parts {
                    any |= part.holds(subject, member, captures);
                }
                any
            }
            Self::Not(part) => {
                let holds = part.holds(subject, member, captures);
                captures.truncate(mark);
                !holds
            }
            Self::Operand(operand) => operand.holds(subject, member, captures),
        }
    }
}

impl Operand {
    fn holds(&self, subject: &Subject<'_>, member: Member<'_>, captures: &mut Vec<String>) -> bool {
        let instance = subject.instance;
        match self {
            Self::Namespace(Namespace::Own) => instance.namespace == subject.own_namespace,
            Self::Namespace(Namespace::Matching(pattern)) => text(pattern, &instance.namespace, captures),
            Self::Name(pattern) => text(pattern, &member.container.name, captures),
            Self::Kind(pattern) => match instance.kind {
                // Two words for the same thing; the first that matches counts.
                InstanceKind::Pod => text(pattern, "container", captures) || text(pattern, "pod", captures),
                InstanceKind::Service => text(pattern, "service", captures),
            },
            Self::Image(pattern) => match (&member.container.image, instance.kind) {
                (Some(image), InstanceKind::Pod) => text(pattern, image, captures),
                _ => false,
            },
            Self::Label { key, value } => label(key, value, instance, captures),
            Self::Ip(pattern) => instance.ip.is_some_and(|ip| text(pattern, &ip.to_string(), captures)),
            Self::Port(number) => member.port.is_some_and(|(_, port)| u32::from(port) == *number),
            Self::Index(number) => member.port.is_some_and(|(index, _)| u32::try_from(index) == Ok(*number)),
            Self::Constant(value) => *value,
        }
    }
}

fn text(pattern: &Pattern, text: &str, captures: &mut Vec<String>) -> bool {
    let found = pattern.matches(text);
    if let Match::Captured(captured) = found {
        captures.push(captured.to_owned());
    }
    found.holds()
}

/// The first label in ascending byte order of the keys whose key and value match (R17).
fn label(key: &Pattern, value: &Pattern, instance: &Instance, captures: &mut Vec<String>) -> bool {
    for (name, text) in &instance.labels {
        let captured = match (key.matches(name), value.matches(text)) {
            (Match::No, _) | (_, Match::No) => continue,
            (Match::Plain, Match::Plain) => return true,
            (Match::Captured(one), Match::Plain) | (Match::Plain, Match::Captured(one)) => one.to_owned(),
            (Match::Captured(key), Match::Captured(value)) => format!("{key}={value}"),
        };
        captures.push(captured);
        return true;
    }
    false
}
