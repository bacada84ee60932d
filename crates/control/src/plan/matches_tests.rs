//! However instances and selectors come and go, the finds are those of a look at everything.

use super::*;
use model::instance::{Container, ContainerPort};

const SELECTORS: [&str; 8] = [
    "label(app)(a)",
    "label(app)(b) && label(version)((.*))",
    "label(version)((.*))",
    "label(app)(a) || label(app)(b)",
    "!label(app)(a)",
    "label(team)(one) && label(app)(c)",
    "label(team)(one) && label(version)(1)",
    "name((main)) && label(team)(one)",
];

/// A small seeded generator (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

fn instance(dice: &mut Dice, number: usize) -> Arc<Instance> {
    let labels = [("app", ["a", "b", "c"]), ("version", ["1", "2", "3"]), ("team", ["one", "one", "two"])];
    let labels = labels
        .iter()
        .filter_map(|(label, values)| Some(((*label).to_owned(), (*values.get(dice.below(4))?).to_owned())))
        .collect();
    let port = ContainerPort { number: 8080, name: None, tcp: true, app_protocol: None };
    Arc::new(Instance {
        kind: InstanceKind::Pod,
        namespace: "shop".into(),
        name: format!("pod-{number}"),
        labels,
        ip: Some([127, 0, 0, 1].into()),
        ready: dice.below(3) > 0,
        exists: dice.below(5) > 0,
        containers: vec![Container { name: "main".into(), image: None, ports: vec![port] }],
    })
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

#[test]
fn finds_are_those_of_a_look_at_everything() {
    for seed in 1..=40 {
        let mut dice = Dice(seed);
        let filter = || selector("namespace($namespace)");
        let mut kept = Matches::new(filter(), "shop".into());
        let mut instances: BTreeMap<usize, Arc<Instance>> = BTreeMap::new();
        for _ in 0..60 {
            for _ in 0..dice.below(4) {
                let number = dice.below(12);
                match dice.below(4) {
                    0 => drop(instances.remove(&number)),
                    _ => drop(instances.insert(number, instance(&mut dice, number))),
                }
            }
            match dice.below(6) {
                0 => {
                    let dropped = SELECTORS[dice.below(8)];
                    kept.retain(|text| text != dropped);
                }
                1 => kept.require(&selector(SELECTORS[dice.below(8)])),
                _ => {}
            }
            let before: HashMap<_, _> =
                kept.selectors.iter().map(|(text, matched)| (text.clone(), matched.found.clone())).collect();
            let all = Arc::new(instances.values().cloned().collect());
            let observation = Observation { instances: all, problem: None, complete: true };
            let first = !kept.complete;
            let changed = kept.update(&observation);
            let mut fresh = Matches::new(filter(), "shop".into());
            fresh.update(&observation);
            for text in SELECTORS {
                let selector = selector(text);
                let Some(found) = kept.found(&selector) else { continue };
                fresh.require(&selector);
                assert_eq!(Some(found), fresh.found(&selector), "seed {seed}: {text}");
                let different = before.get(text).is_none_or(|before| before != found);
                assert!(first || !different || changed.contains(text), "seed {seed}: {text} changed");
            }
        }
    }
}

#[test]
fn selectors_are_anchored_where_few_others_are() {
    let mut matches = Matches::new(selector("true"), "shop".into());
    for number in 0..50 {
        matches.require(&selector(&format!("label(team)(one) && label(app)(a{number})")));
    }
    let crowd = matches.anchored.values().flat_map(HashMap::values).map(BTreeSet::len).max();
    assert_eq!((crowd, matches.unanchored.len()), (Some(1), 0));
    matches.retain(|_| false);
    assert!(matches.anchored.is_empty());
}
