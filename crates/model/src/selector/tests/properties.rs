//! Properties of the selector language.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::instance::{Container, ContainerPort, Instance, InstanceKind};
use crate::selector::{Namespace, Node, Operand, Selector, natural_order};
use crate::syntax::pattern::Pattern;

fn pattern() -> impl Strategy<Value = Pattern> {
    let text = prop_oneof![
        "[a-z0-9.-]{1,8}",
        "[a-z]{0,3}\\([a-z.*]{1,3}\\)[a-z]{0,3}"
            .prop_filter("a valid pattern", |text| Pattern::new(text, 65536).is_ok()),
        Just(r"\(".to_owned()),
        Just("[()]".to_owned()),
        Just("(?:a|b)(.*)".to_owned()),
        Just(" a && b ".to_owned()),
        Just("[]^)]".to_owned()),
        Just("é".to_owned()),
    ];
    text.prop_map(|text| Pattern::new(&text, 65536).unwrap())
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        Just(Operand::Namespace(Namespace::Own)),
        pattern().prop_map(|pattern| Operand::Namespace(Namespace::Matching(pattern))),
        pattern().prop_map(Operand::Name),
        pattern().prop_map(Operand::Kind),
        pattern().prop_map(Operand::Image),
        (pattern(), pattern()).prop_map(|(key, value)| Operand::Label { key, value }),
        pattern().prop_map(Operand::Ip),
        any::<u32>().prop_map(Operand::Port),
        any::<u32>().prop_map(Operand::Index),
        any::<bool>().prop_map(Operand::Constant),
    ]
}

fn node() -> impl Strategy<Value = Node> {
    operand().prop_map(Node::Operand).prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.prop_map(|part| Node::Not(Box::new(part))),
        ]
    })
}

/// Members of the pod of [`pod`] by port, with what was captured.
type Found = BTreeMap<u16, BTreeSet<String>>;

/// One pod with two containers; ports 1 to 3 in the first, 11 in the second.
fn pod() -> Instance {
    let ports = |numbers: &[u16]| {
        numbers
            .iter()
            .map(|&number| ContainerPort { number, name: None, tcp: true, app_protocol: None })
            .collect()
    };
    Instance {
        kind: InstanceKind::Pod,
        namespace: "ns".to_owned(),
        name: "pod".to_owned(),
        labels: [("a", "1"), ("b", "2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        ip: Some([10, 0, 0, 1].into()),
        ready: true,
        exists: true,
        containers: vec![
            Container { name: "x".to_owned(), image: None, ports: ports(&[1, 2, 3]) },
            Container { name: "y".to_owned(), image: None, ports: ports(&[11]) },
        ],
    }
}

/// An operand with the set that the table of section 8.3 gives for it.
fn known_operand() -> impl Strategy<Value = (String, Found)> {
    let found = |ports: &[u16], captures: &[&str]| -> Found {
        let captures: BTreeSet<String> = captures.iter().map(|&text| text.to_owned()).collect();
        ports.iter().map(|&port| (port, captures.clone())).collect()
    };
    let all = [1, 2, 3, 11];
    prop::sample::select(vec![
        ("true".to_owned(), found(&all, &[])),
        ("false".to_owned(), found(&[], &[])),
        ("port(2)".to_owned(), found(&[2], &[])),
        ("index(0)".to_owned(), found(&[1, 11], &[])),
        ("name((x))".to_owned(), found(&[1, 2, 3], &["x"])),
        ("name((.*))".to_owned(), {
            let mut each = found(&[1, 2, 3], &["x"]);
            each.extend(found(&[11], &["y"]));
            each
        }),
        ("label(a)((.*))".to_owned(), found(&all, &["1"])),
        ("label((.*))((2))".to_owned(), found(&all, &["b=2"])),
        ("label(c)((.*))".to_owned(), found(&[], &[])),
        ("label(b)(2)".to_owned(), found(&all, &[])),
        ("label(b)((1))".to_owned(), found(&[], &[])),
    ])
}

/// Any expression, with the set that the table gives for it.
fn known_expression() -> impl Strategy<Value = (String, Found)> {
    known_operand().prop_recursive(5, 20, 2, |inner| {
        let both = (inner.clone(), inner.clone());
        prop_oneof![
            both.clone().prop_map(|((a, left), (b, right))| {
                let join =
                    |(port, captures): (u16, BTreeSet<String>)| Some((port, &captures | right.get(&port)?));
                (format!("({a}) && ({b})"), left.into_iter().filter_map(join).collect())
            }),
            both.prop_map(|((a, left), (b, right))| {
                let mut found = left;
                for (port, captures) in right {
                    found.entry(port).or_default().extend(captures);
                }
                (format!("({a}) || ({b})"), found)
            }),
            inner.prop_map(|(a, found)| {
                let others = [1, 2, 3, 11].into_iter().filter(|port| !found.contains_key(port));
                (format!("!({a})"), others.map(|port| (port, BTreeSet::new())).collect())
            }),
        ]
    })
}

proptest! {
    /// Walking the tree per candidate finds what the set operations of section 8.3 find.
    #[test]
    fn combines_like_sets((text, expected) in known_expression()) {
        prop_assume!(text.len() <= crate::syntax::TEXT_LIMIT);
        let candidates = Selector::parse(&text).unwrap().candidates(&pod(), "ns");
        let found: Found = candidates.into_iter().map(|candidate| (candidate.port, candidate.captures)).collect();
        prop_assert_eq!(found, expected, "of {}", text);
    }

    /// What looks only at instances with the required labels misses none.
    #[test]
    fn demands_no_label_that_a_find_lacks((text, expected) in known_expression()) {
        prop_assume!(text.len() <= crate::syntax::TEXT_LIMIT && !expected.is_empty());
        let (selector, pod) = (Selector::parse(&text).unwrap(), pod());
        for (label, value) in selector.required_labels() {
            prop_assert_eq!(pod.labels.get(label).map(String::as_str), Some(value), "of {}", text);
        }
    }

    #[test]
    fn prints_back(node in node()) {
        let text = node.to_string();
        prop_assume!(text.len() <= crate::syntax::TEXT_LIMIT);
        let parsed = Selector::parse(&text).map_err(|error| TestCaseError::fail(error.render(&text)))?;
        prop_assert_eq!(&*parsed.all[0], &node);
        prop_assert_eq!(parsed.canonical(), text);
    }

    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        if let Err(error) = Selector::parse(&text) {
            prop_assert!(error.offset <= text.len());
            let _ = (error.render(&text), error.describe(&text));
        }
    }

    #[test]
    fn never_panics_on_tokens(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "label", "name", "port", "index", "namespace", "kind", "(", ")", "(", ")", "!", "not ", " and ", " or ", "&&", "|",
                "true", "f", "80", "[", "]", "\\", ".*", "?", " ", "$namespace", "é", "\n", "x",
            ]),
            0..40,
        )
    ) {
        let text = tokens.concat();
        match Selector::parse(&text) {
            Ok(selector) => {
                let canonical = selector.canonical();
                prop_assert_eq!(Selector::parse(&canonical).unwrap().canonical(), canonical);
            }
            Err(error) => prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset)),
        }
    }

    #[test]
    fn natural_order_is_total(names in prop::collection::vec("[a01.()]{0,6}", 3)) {
        let [a, b, c] = [&names[0], &names[1], &names[2]];
        prop_assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
        prop_assert_eq!(natural_order(a, b).is_eq(), a == b);
        if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
            prop_assert!(natural_order(a, c).is_le());
        }
    }
}
