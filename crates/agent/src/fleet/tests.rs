use model::port::Protocol;
use routing::decide::Reason;
use telemetry::{Key, Outcome, Reader};

use super::*;

/// An environment that writes down what it hears.
struct Book {
    telemetry: Arc<Telemetry>,
    published: watch::Sender<Arc<RoutingConfig>>,
    heard: Mutex<Vec<String>>,
}

impl Book {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            telemetry: Telemetry::new(1),
            published: watch::Sender::default(),
            heard: Mutex::default(),
        })
    }

    fn note(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

impl Environment for Book {
    fn published(&self) -> watch::Receiver<Arc<RoutingConfig>> {
        self.published.subscribe()
    }
    fn telemetry(&self) -> Arc<Telemetry> {
        Arc::clone(&self.telemetry)
    }
    fn joined(&self, agent: &str) {
        self.note(format!("joined {agent}"));
    }
    fn lost(&self, agent: &str) {
        self.note(format!("lost {agent}"));
    }
    fn left(&self, agent: &str) {
        self.note(format!("left {agent}"));
    }
    fn acknowledge(&self, agent: &str, revision: u64, _: Vec<(GatewayName, String)>) {
        self.note(format!("{agent} serves {revision}"));
    }
    fn noticed(&self, agent: &str, incidents: Vec<Incident>) {
        self.note(format!("{agent} noticed {}", incidents.len()));
    }
}

fn fleet(book: &Arc<Book>) -> Fleet {
    Fleet::new("prod", Arc::clone(book) as Arc<dyn Environment>, Lease::default())
}

fn state(fleet: &Fleet) -> Vec<(String, AgentState)> {
    fleet.agents().into_iter().map(|agent| (agent.name, agent.state)).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_agent_that_breaks_off_is_waited_for_a_lease_and_named_for_longer() {
    let (book, start) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    let session = fleet.enter("a", "1", "0.1.0", start).unwrap();
    fleet.acknowledge("a", &session, 7, Vec::new());
    assert_eq!(book.take(), ["joined a", "a serves 7"]);
    fleet.heard("a", &session, start + 10 * SECOND);
    fleet.gone("a", &session, Ending::Broken);
    for (second, expected, told) in [
        (15, Some(AgentState::Away), None),
        (16, Some(AgentState::Lost), Some("lost a")),
        (17, Some(AgentState::Lost), None),
        (309, Some(AgentState::Lost), None),
        (310, None, Some("left a")),
    ] {
        fleet.sweep(start + second * SECOND);
        assert_eq!(state(&fleet).first().map(|(_, state)| *state), expected, "{second} s");
        assert_eq!(book.take(), told.map_or(vec![], |told| vec![told.to_owned()]), "{second} s");
    }
}

#[test]
fn who_comes_back_takes_part_again() {
    let (book, start) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    let session = fleet.enter("a", "1", "0.1.0", start).unwrap();
    fleet.gone("a", &session, Ending::Silent);
    let again = fleet.enter("a", "1", "0.1.0", start).unwrap();
    // What the old stream still has to say does not count.
    fleet.acknowledge("a", &session, 3, Vec::new());
    fleet.gone("a", &session, Ending::Goodbye);
    assert_eq!(state(&fleet), [("a".to_owned(), AgentState::Connected)]);
    fleet.gone("a", &again, Ending::Goodbye);
    assert_eq!(book.take(), ["joined a", "lost a", "joined a", "left a"]);
    assert!(fleet.agents().is_empty());
}

#[test]
fn one_name_is_one_agent() {
    let (book, now) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    let first = fleet.enter("a", "1", "0.1.0", now).unwrap();
    assert_eq!(fleet.enter("a", "2", "0.1.0", now).unwrap_err(), Refused::NameTaken("a".into()));
    // The same process is back before its broken stream was noticed.
    let second = fleet.enter("a", "1", "0.1.0", now).unwrap();
    assert!(first.superseded.is_cancelled() && !second.superseded.is_cancelled());
    fleet.gone("a", &second, Ending::Broken);
    // Another process in its place, for example after a restart.
    assert!(fleet.enter("a", "2", "0.1.0", now).is_ok());
    fleet.close();
    assert!(fleet.agents().is_empty() && fleet.closed().is_cancelled());
}

#[test]
fn who_is_expected_is_waited_for_and_who_is_gone_is_forgotten() {
    let (book, now) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    fleet.expect("a");
    fleet.expect("b");
    assert_eq!(state(&fleet), [("a".to_owned(), AgentState::Away), ("b".to_owned(), AgentState::Away)]);
    let session = fleet.enter("a", "1", "0.1.0", now).unwrap();
    fleet.expect("a");
    assert!(!fleet.forget("a"), "it is here");
    fleet.sweep(now + 10 * SECOND);
    assert_eq!(book.take(), ["joined a", "joined b", "joined a", "lost b"]);
    assert!(fleet.forget("b") && fleet.forget("b") && fleet.forget("never there"));
    fleet.gone("a", &session, Ending::Broken);
    assert!(fleet.forget("a"));
    assert_eq!(book.take(), ["left b", "left a"]);
    assert!(fleet.agents().is_empty());
}

fn requests(telemetry: &Telemetry) -> u64 {
    telemetry.totals().iter().map(|series| series.totals.requests()).sum()
}

#[test]
fn reports_count_once_and_what_was_open_goes_with_the_agent() {
    let (book, now) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    let (telemetry, mut reader) = (Telemetry::new(1), Reader::default());
    let name = GatewayName::parse("shop").unwrap();
    let series = telemetry.gateway(&name, Protocol::Http);
    series.begin(0);
    series.record(0, &Outcome::new(200, Reason::Weight, SECOND));
    let deltas = reader.read(&telemetry, true);
    let incidents = vec![Incident {
        gateway: name.clone(),
        route: RoutePath::parse("(1.0)").unwrap(),
        id: "1".into(),
        name: "pod".into(),
        ejected: true,
    }];
    let mut session = fleet.enter("a", "1", "0.1.0", now).unwrap();
    fleet.report("a", &session, 1, &deltas, incidents.clone());
    fleet.report("a", &session, 1, &deltas, incidents.clone());
    let old = session.clone();
    session = fleet.enter("a", "1", "0.1.0", now).unwrap();
    fleet.report("a", &session, 1, &deltas, incidents.clone());
    fleet.report("a", &old, 2, &deltas, incidents.clone());
    assert_eq!(requests(&book.telemetry), 1);
    let in_flight = || book.telemetry.series(&Key::Gateway(name.clone())).unwrap().totals().in_flight;
    assert_eq!(in_flight(), 1);
    fleet.report("a", &session, 2, &deltas, incidents.clone());
    assert_eq!((requests(&book.telemetry), in_flight()), (2, 1));
    let noticed = book.take().into_iter().filter(|told| told == "a noticed 1").count();
    assert_eq!(noticed, 2, "one for each report that counted");
    fleet.gone("a", &session, Ending::Goodbye);
    assert_eq!((requests(&book.telemetry), in_flight()), (2, 0));
}

#[test]
fn targets_are_as_good_as_the_best_view_of_them() {
    let (book, now) = (Book::new(), Instant::now());
    let fleet = fleet(&book);
    let target = |id: &str, up, in_flight| TargetState {
        gateway: GatewayName::parse("shop").unwrap(),
        route: RoutePath::parse("(1.0)").unwrap(),
        id: id.into(),
        name: format!("pod-{id}"),
        address: "10.0.0.1:80".parse().unwrap(),
        up,
        in_flight,
        pending: in_flight,
        ejected: !up,
        ejections: 1,
    };
    let a = fleet.enter("a", "1", "0.1.0", now).unwrap();
    let b = fleet.enter("b", "2", "0.1.0", now).unwrap();
    let budget = |gateway: &str, retries_left, retries_refused| Budget {
        gateway: GatewayName::parse(gateway).unwrap(),
        retries_left,
        retries_refused,
    };
    let budgets = vec![budget("shop", 10, 1), budget("cart", 3, 0)];
    fleet.set_targets("a", &a, vec![target("x", false, 2), target("y", false, 0)], budgets);
    let budgets = vec![budget("shop", 20, 2)];
    fleet.set_targets("b", &b, vec![target("x", true, 3), target("y", false, 0)], budgets);
    assert_eq!(fleet.budgets(), [budget("cart", 3, 0), budget("shop", 30, 3)]);
    let x = TargetState { ejected: true, ejections: 2, ..target("x", true, 5) };
    assert_eq!(fleet.targets(), [x, TargetState { ejections: 2, ..target("y", false, 0) }]);
    fleet.gone("b", &b, Ending::Silent);
    assert_eq!(fleet.targets(), [target("x", false, 2), target("y", false, 0)]);
}

#[test]
fn a_table_is_written_once_for_all() {
    let (book, fleet) = {
        let book = Book::new();
        let fleet = fleet(&book);
        (book, fleet)
    };
    let config = |revision| Arc::new(RoutingConfig { revision, ..RoutingConfig::default() });
    let (first, second) = (config(1), config(2));
    let encoded = fleet.encoded(&first);
    assert!(Arc::ptr_eq(&encoded, &fleet.encoded(&first)));
    let newer = fleet.encoded(&second);
    assert_eq!(newer.revision, 2);
    assert!(Arc::ptr_eq(&newer, &fleet.encoded(&first)), "nobody is turned back");
    drop(book);
}
