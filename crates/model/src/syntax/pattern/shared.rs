//! Compiled expressions by their text: selectors of many gateways differ in a name, and have the pattern of the version in common.
//!
//! A compiled expression with its caches takes tens of KiB, so equal ones are one. Nothing is kept alive: the last pattern that
//! uses an expression takes it along.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use regex::Regex;

/// Entries before the first look for those that are gone.
const FIRST_SWEEP: usize = 64;

/// Text and size limit: with less room the same text may be refused.
type Key = (Box<str>, usize);

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

#[derive(Default)]
struct Known {
    expressions: HashMap<Key, Weak<Regex>>,
    /// Entries at the next sweep: twice what the last one left, so that sweeping costs nothing in the long run.
    sweep_at: usize,
}

/// The expression with that text, compiled by `compile` unless somebody uses it already.
pub(super) fn expression<E>(
    text: &str,
    size_limit: usize,
    compile: impl FnOnce() -> Result<Regex, E>,
) -> Result<Arc<Regex>, E> {
    let key = (Box::from(text), size_limit);
    // An entry is whole at any moment, so a poisoned lock is as good as another. Compiling happens outside of it.
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().as_ref().and_then(|known| known.expressions.get(&key)?.upgrade()) {
        return Ok(found);
    }
    let compiled = Arc::new(compile()?);
    let mut known = known();
    let known = known.get_or_insert_default();
    if known.expressions.len() >= known.sweep_at.max(FIRST_SWEEP) {
        known.expressions.retain(|_, expression| expression.strong_count() > 0);
        known.sweep_at = 2 * known.expressions.len();
    }
    known.expressions.insert(key, Arc::downgrade(&compiled));
    Ok(compiled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_expressions_are_one_while_used() {
        let compile = |text: &'static str| move || Regex::new(text);
        let one = expression("shared-a+", 1, compile("shared-a+")).unwrap();
        let other = expression("shared-a+", 1, || -> Result<Regex, ()> { unreachable!("known") }).unwrap();
        assert!(Arc::ptr_eq(&one, &other));
        let roomier = expression("shared-a+", 2, compile("shared-a+")).unwrap();
        assert!(!Arc::ptr_eq(&one, &roomier));
        drop((one, other, roomier));
        assert!(expression("shared-a+", 1, || Err(())).is_err(), "nothing is kept alive");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let compiled = Regex::new("x").unwrap();
        for number in 0..10 * FIRST_SWEEP {
            expression(&format!("gone-{number}+"), 1, || Ok::<_, ()>(compiled.clone())).unwrap();
        }
        let kept = KNOWN.lock().unwrap().as_ref().unwrap().expressions.len();
        // Other tests use patterns at the same time.
        assert!(kept <= 5 * FIRST_SWEEP, "{kept} are kept");
    }
}
