//! Errors of the API server in words that say what to do.

use std::error::Error as _;
use std::fmt::Write as _;

use crate::access::rights;

/// What was tried, for messages. The rule that permits it comes from the table of rights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// For example `list`.
    pub(crate) verb: &'a str,
    /// For example `pods`, with its subresource.
    pub(crate) resource: &'a str,
    /// `None` for all namespaces.
    pub(crate) namespace: Option<&'a str>,
}

/// One sentence about an error; a missing right names the rule that gives it.
pub(crate) fn explain(error: &kube::Error, attempt: Attempt<'_>) -> String {
    let Attempt { verb, resource, namespace } = attempt;
    let place = namespace.map_or_else(|| "in all namespaces".into(), |name| format!("in namespace '{name}'"));
    match status(error) {
        Some(403) => format!(
            "the API server does not let Vamp {verb} {resource} {place}: {}{}",
            missing_rule(attempt),
            denial(error)
        ),
        Some(401) => format!(
            "the API server does not accept Vamp's credentials ({verb} {resource} {place}): check the user in the \
             kubeconfig, or the service account of the pod"
        ),
        _ => format!("cannot {verb} {resource} {place}: {}", chain(error)),
    }
}

/// Which object with which rule to give to whom.
fn missing_rule(attempt: Attempt<'_>) -> String {
    let Attempt { verb, resource, namespace } = attempt;
    let right = rights::about(resource, namespace.is_some()).find(|right| right.verbs.contains(&verb));
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    match right {
        Some(right) if right.scope == rights::Scope::Delegation => {
            format!(
                "bind its user to the ClusterRole {} (rule {}), or give tokens of Vamp's own with --token-file",
                right.scope.role(),
                right.rule_text()
            )
        }
        Some(right) => format!(
            "give its user a {kind} with the rule {} ('{}' of the installation has it)",
            right.rule_text(),
            right.scope.role()
        ),
        None => format!("give its user a {kind} that permits it"),
    }
}

/// Who was refused, as the API server says it: `User "..." cannot ...`.
fn denial(error: &kube::Error) -> String {
    let kube::Error::Api(status) = error else { return String::new() };
    let user = status.message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"'));
    user.map(|(user, _)| format!("; its user is '{user}'")).unwrap_or_default()
}

/// The HTTP status of an answer; `None` when there was no answer.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

pub(crate) fn chain(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("the API server answers {} {}", status.code, status.message).trim_end().to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        // Some of these errors repeat their cause.
        if !text.contains(&part) {
            let _ = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(kube::core::Status::failure(message, "Reason").with_code(code).boxed())
    }

    #[test]
    fn a_missing_right_names_verb_resource_rule_and_user() {
        let attempt = Attempt { verb: "list", resource: "pods", namespace: Some("prod") };
        let text = "pods is forbidden: User \"system:serviceaccount:a:b\" cannot list resource \"pods\"";
        let message = explain(&refused(403, text), attempt);
        for part in [
            "list pods in namespace 'prod'",
            " Role ",
            "{apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}",
            "'vamp-environment'",
            "its user is 'system:serviceaccount:a:b'",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let message = explain(&refused(403, ""), Attempt { namespace: None, ..attempt });
        assert!(message.contains("ClusterRole") && message.contains("all namespaces"), "{message}");
        assert!(explain(&refused(401, ""), attempt).contains("credentials"));
        assert!(explain(&refused(500, "etcd is away"), attempt).ends_with("answers 500 etcd is away"));
    }

    /// The group, the names and the way to grant it come from the row, for each row.
    #[test]
    fn every_row_of_the_table_is_explained() {
        for right in rights::RIGHTS {
            for verb in right.verbs {
                let namespace = right.scope.is_namespaced().then_some("prod");
                let attempt = Attempt { verb, resource: right.resource, namespace };
                let message = explain(&refused(403, ""), attempt);
                let same =
                    |other: &&rights::Right| other.resource == right.resource && other.verbs.contains(verb);
                let named = rights::about(right.resource, namespace.is_some()).find(same).unwrap();
                assert!(message.contains(&named.rule_text()), "{message}");
                assert!(message.contains(&format!("apiGroups: [\"{}\"]", right.group)), "{message}");
            }
        }
    }
}
