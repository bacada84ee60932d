//! Properties of the condition language.

use proptest::prelude::*;

use crate::condition::{Condition, Expression, Operand};
use crate::matcher::tests::any_matcher;
use crate::syntax::TEXT_LIMIT;

fn operand() -> impl Strategy<Value = Operand> {
    let text = || prop_oneof!["[ -~]{0,8}", "[!-~]{1,8}", Just("and".to_owned()), Just("''\"".to_owned())];
    prop_oneof![
        text().prop_map(Operand::Host),
        text().prop_map(Operand::UserAgent),
        text().prop_map(Operand::HasHeader),
        text().prop_map(Operand::HasCookie),
        (text(), text()).prop_map(|(name, value)| Operand::HeaderContains { name, value }),
        (text(), text()).prop_map(|(name, value)| Operand::CookieContains { name, value }),
        any_matcher().prop_map(Operand::Raw),
    ]
}

fn expression() -> impl Strategy<Value = Expression> {
    let test = (operand(), any::<bool>()).prop_map(|(operand, negated)| Expression::Test {
        // The grammar has no negative form of a raw matcher.
        negated: negated && !matches!(operand, Operand::Raw(_)),
        operand,
    });
    test.prop_recursive(6, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            inner.prop_map(|part| Expression::Not(Box::new(part))),
        ]
    })
}

proptest! {
    #[test]
    fn prints_back(expression in expression()) {
        let text = expression.to_string();
        prop_assume!(text.len() <= TEXT_LIMIT);
        let parsed = Condition::parse(&text).map_err(|error| TestCaseError::fail(error.render(&text)))?;
        prop_assert_eq!(parsed.expression(), &expression);
        prop_assert_eq!(parsed.expression().to_string(), text);
    }

    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        if let Err(error) = Condition::parse(&text) {
            prop_assert!(error.offset <= text.len());
            let _ = (error.render(&text), error.describe(&text));
        }
    }

    #[test]
    fn never_panics_on_tokens(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "host", "user-agent", "user", "agent", "header", "cookie", "has", "misses", "is", "not", "and", "or", " ", " ", " ", "==",
                "!=", "!", "(", ")", "<", ">", "&&", "|", "'", "\"", "a", "path_beg", "/x", "hdr(x)", "-m", "reg", "é", "\n", "\\",
            ]),
            0..40,
        )
    ) {
        let text = tokens.concat();
        match Condition::parse(&text) {
            Ok(condition) => {
                let canonical = condition.expression().to_string();
                let again = Condition::parse(&canonical).map_err(|error| TestCaseError::fail(error.render(&canonical)))?;
                prop_assert_eq!(again.expression(), condition.expression());
            }
            Err(error) => prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset)),
        }
    }
}
