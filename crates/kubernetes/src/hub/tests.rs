use super::*;

fn key(name: &str) -> Key {
    ("n".into(), name.into())
}

fn kind() -> Kind<u32> {
    Kind::new(mpsc::channel(1).1)
}

fn all(objects: &[(&str, u32)]) -> Update<u32> {
    Update::Complete(objects.iter().map(|(name, value)| (key(name), *value)).collect())
}

/// What counts as news, step by step: (update, news, dirty).
#[test]
fn only_what_is_different_is_news() {
    let mut kind = kind();
    let steps: Vec<(&str, Update<u32>, bool, bool)> = vec![
        ("failed before the first list", Update::Problem("away".into()), true, false),
        ("the same again", Update::Problem("away".into()), false, false),
        ("the first list", all(&[("a", 1)]), true, true),
        ("a resync that finds nothing", all(&[("a", 1)]), false, false),
        ("a duplicate event", Update::Set(key("a"), 1), false, false),
        ("a change", Update::Set(key("a"), 2), true, true),
        ("the watch is lost", Update::Problem("lost".into()), true, false),
        ("and comes back", Update::Fine, true, false),
        ("it was back already", Update::Fine, false, false),
        ("deleted", Update::Remove(key("a")), true, true),
        ("deleted again", Update::Remove(key("a")), false, false),
        ("a resync repairs what was missed", all(&[("b", 1)]), true, true),
    ];
    for (what, update, news, dirty) in steps {
        assert_eq!(kind.take_in(update), news, "{what}");
        assert_eq!(std::mem::take(&mut kind.dirty), dirty, "{what}");
    }
}

#[test]
fn a_problem_forgets_nothing() {
    let mut kind = kind();
    kind.take_in(all(&[("a", 1), ("b", 2)]));
    kind.take_in(Update::Problem("lost".into()));
    assert_eq!((kind.objects.len(), kind.complete, kind.problem.as_deref()), (2, true, Some("lost")));
    kind.take_in(all(&[("a", 1), ("b", 2)]));
    assert!(kind.problem.is_some(), "a list alone does not follow: it is over when the watch stands");
    kind.take_in(Update::Fine);
    assert_eq!(kind.problem, None);
}
