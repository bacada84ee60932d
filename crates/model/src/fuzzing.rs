//! What must hold for any text from a user. Each function panics where it does not; `fuzz/` feeds them, and so do the
//! properties below. Not part of an ordinary build.

use crate::condition::Condition;
use crate::gateway::{GatewayDocument, GatewaySpec, References, RouteDocument};
use crate::instance::{Container, ContainerPort, Instance, InstanceKind};
use crate::rewrite::Rewrite;
use crate::selector::Selector;
use crate::yaml;

/// A condition means what it is printed as; a refusal points into the text.
pub fn condition(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Condition::parse(&text) {
        Ok(condition) => {
            let printed = condition.expression().to_string();
            // Printing may make it longer than what may be written.
            if let Ok(again) = Condition::parse(&printed) {
                assert_eq!(again.expression(), condition.expression(), "{printed}");
            } else {
                assert!(printed.len() > crate::syntax::TEXT_LIMIT, "{printed}");
            }
        }
        Err(error) => {
            assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
            let _ = (error.render(&text), error.describe(&text));
        }
    }
}

/// The same for a selector, which also finds the same instances.
pub fn selector(bytes: &[u8]) {
    let instance = &pod();
    let text = String::from_utf8_lossy(bytes);
    match Selector::parse(&text) {
        Ok(selector) => {
            let canonical = selector.canonical();
            let found = selector.candidates(instance, "shop");
            let _ = selector.portless_matches(instance, "shop");
            if let Ok(again) = Selector::parse(&canonical) {
                assert_eq!(again.canonical(), canonical);
                assert_eq!(again.candidates(instance, "shop"), found, "{text} and {canonical}");
            } else {
                assert!(canonical.len() > crate::syntax::TEXT_LIMIT, "{canonical}");
            }
        }
        Err(error) => {
            assert!(error.offset <= text.len() && text.is_char_boundary(error.offset));
            let _ = (error.render(&text), error.describe(&text));
        }
    }
}

/// A document that is read can be written and read again, and what is stored of it is the same when it comes back.
pub fn gateway_document(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(nodes) = yaml::read_all(&text) {
        for node in nodes {
            let value = node.to_value();
            // Written texts may be longer than what is read.
            if let Ok(again) = yaml::read_one(&yaml::to_string(&value)) {
                assert_eq!(again.to_value(), value);
            }
        }
    }
    let Ok(document) = GatewayDocument::read(&text) else { return };
    let Ok(spec) = document.resolve(&Nothing) else { return };
    let stored = spec.to_stored();
    let back = GatewaySpec::from_stored(&stored).unwrap_or_else(|why| panic!("{why}: {stored}"));
    assert_eq!(back, spec);
}

/// No artifact to refer to.
struct Nothing;

impl References for Nothing {
    fn route(&self, _: &str) -> Option<RouteDocument> {
        None
    }
    fn condition(&self, _: &str) -> Option<Condition> {
        None
    }
    fn rewrite(&self, _: &str) -> Option<Rewrite> {
        None
    }
}

/// A pod with two containers, to be found or not.
fn pod() -> Instance {
    let port = |number, name: Option<&str>, tcp| ContainerPort {
        number,
        name: name.map(str::to_owned),
        tcp,
        app_protocol: None,
    };
    let container = |name: &str, ports| Container {
        name: name.into(),
        image: Some("registry.example/shop:1.0.3".into()),
        ports,
    };
    Instance {
        kind: InstanceKind::Pod,
        namespace: "shop".into(),
        name: "shop-1".into(),
        labels: [("app", "shop"), ("version", "1.0.3"), ("a/b", "")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
        ip: Some([10, 0, 0, 1].into()),
        ready: true,
        exists: true,
        containers: vec![
            container("a", vec![port(80, Some("http"), true), port(53, None, false)]),
            container("b", vec![port(8080, None, true)]),
            container("c", vec![]),
        ],
    }
}

#[cfg(test)]
#[path = "../../../fuzz/damage.rs"]
mod damage;

#[cfg(test)]
mod tests {
    use super::damage::damaged;
    use super::*;
    use proptest::prelude::*;

    macro_rules! seed {
        ($name:literal) => {
            include_bytes!(concat!("../../../fuzz/seeds/", $name))
        };
    }

    const CONDITIONS: &[&[u8]] =
        &[seed!("condition/header"), seed!("condition/raw"), seed!("condition/bare")];
    const SELECTORS: &[&[u8]] = &[seed!("selector/plain"), seed!("selector/nested"), seed!("selector/kinds")];
    const DOCUMENTS: &[&[u8]] =
        &[seed!("gateway_document/short"), seed!("gateway_document/long"), seed!("gateway_document/json")];
    const WORDS: &[&str] = &[
        "not ", " and ", " || ", "(", ")", "<", ">", "==", " has ", "\'", "\"", "\\", "label", "port",
        "(.*)", "[", "{", "}", ": ", "- ", "&a ", "*a", "\n", "  ", "|\n", "%", "~", "!x ", "#", "é", "'",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn conditions(bytes in damaged(CONDITIONS, WORDS)) {
            condition(&bytes);
        }

        #[test]
        fn selectors(bytes in damaged(SELECTORS, WORDS)) {
            selector(&bytes);
        }

        #[test]
        fn gateway_documents(bytes in damaged(DOCUMENTS, WORDS)) {
            gateway_document(&bytes);
        }
    }
}
