//! Properties of the selector language.

use proptest::prelude::*;

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

proptest! {
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
