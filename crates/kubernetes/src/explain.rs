//! Errors of the API server in words that say what to do.

use std::error::Error as _;
use std::fmt::Write as _;

/// What was tried, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// For example `list`.
    pub(crate) verb: &'a str,
    /// For example `pods`.
    pub(crate) resource: &'a str,
    /// All verbs on it that Vamp needs, so that one look suffices.
    pub(crate) verbs: &'a [&'a str],
    /// `None` for all namespaces.
    pub(crate) namespace: Option<&'a str>,
}

/// One sentence about an error; a missing right names the rule that gives it.
pub(crate) fn explain(error: &kube::Error, attempt: Attempt<'_>) -> String {
    let Attempt { verb, resource, verbs, namespace } = attempt;
    let place = namespace.map_or_else(|| "in all namespaces".into(), |name| format!("in namespace '{name}'"));
    match status(error) {
        Some(403) => {
            let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
            let verbs = verbs.join(", ");
            format!(
                "the API server does not let Vamp {verb} {resource} {place}: give its user a {kind} with the rule \
                 {{apiGroups: [\"\"], resources: [{resource}], verbs: [{verbs}]}}"
            )
        }
        Some(401) => format!(
            "the API server does not accept Vamp's credentials ({verb} {resource} {place}): check the user in the kubeconfig"
        ),
        _ => format!("cannot {verb} {resource} {place}: {}", chain(error)),
    }
}

/// The HTTP status of an answer; `None` when there was no answer.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn chain(error: &kube::Error) -> String {
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
    fn a_missing_right_names_verb_resource_and_rule() {
        let attempt =
            Attempt { verb: "list", resource: "pods", verbs: &["list", "watch"], namespace: Some("prod") };
        let message = explain(&refused(403, "pods is forbidden"), attempt);
        for part in ["list pods in namespace 'prod'", " Role ", "resources: [pods], verbs: [list, watch]"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        let message = explain(&refused(403, ""), Attempt { namespace: None, ..attempt });
        assert!(message.contains("ClusterRole") && message.contains("all namespaces"), "{message}");
        assert!(explain(&refused(401, ""), attempt).contains("credentials"));
        assert!(explain(&refused(500, "etcd is away"), attempt).ends_with("answers 500 etcd is away"));
    }
}
