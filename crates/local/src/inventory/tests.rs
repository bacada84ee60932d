use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

fn pod(name: &str) -> String {
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nstatus: {{podIP: 10.0.0.1}}\n")
}

struct Fixture {
    directory: TempDir,
    inventory: Inventory,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        fs::create_dir(&source).unwrap();
        let inventory = Inventory::new(vec![source], directory.path().join("own"), "default".into());
        Self { directory, inventory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("source").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        // A new inode each time: two writes in the same tick of the clock must not look the same.
        let _ = fs::remove_file(self.path(name));
        fs::write(self.path(name), text).unwrap();
    }

    /// Scans until nothing is left to settle.
    fn settle(&mut self) -> Snapshot {
        for _ in 0..10 {
            let (snapshot, unsettled) = self.inventory.scan(Trust::WhenQuiet);
            if !unsettled {
                return snapshot;
            }
        }
        panic!("does not settle");
    }

    fn names(&mut self) -> Vec<String> {
        self.settle().objects.iter().map(|(object, _)| object.identity().2.to_owned()).collect()
    }
}

#[test]
fn files_come_change_and_go() {
    let mut fixture = Fixture::new();
    assert!(fixture.names().is_empty());
    fixture.write("b.yaml", &pod("b"));
    fixture.write("a.yml", &pod("a"));
    fixture.write("c.json", "{\"kind\": \"Pod\", \"metadata\": {\"name\": \"c\"}}");
    fixture.write(".hidden.yaml", &pod("hidden"));
    fixture.write("notes.txt", "no manifest");
    assert_eq!(fixture.names(), ["a", "b", "c"]);
    fixture.write("b.yaml", &format!("{}---\n{}", pod("b1"), pod("b2")));
    assert_eq!(fixture.names(), ["a", "b1", "b2", "c"]);
    fs::remove_file(fixture.path("a.yml")).unwrap();
    assert_eq!(fixture.names(), ["b1", "b2", "c"]);
}

/// R22.7: what cannot be read changes nothing.
#[test]
fn broken_files_keep_their_last_good_content() {
    let mut fixture = Fixture::new();
    fixture.write("a.yaml", &pod("a"));
    assert_eq!(fixture.settle().problem, None);
    for (text, expected) in [
        ("kind: Pod\nmetadata: {name: a\n", "a.yaml: line 2: not valid YAML"),
        ("kind: Pod\nmetadata: {name: a}\nstatus: {podIP: x}\n", "a.yaml: line 3: status.podIP"),
        ("", "a.yaml: is empty"),
        ("# only a comment\n", "a.yaml: is empty"),
    ] {
        fixture.write("a.yaml", text);
        let snapshot = fixture.settle();
        let problem = snapshot.problem.unwrap();
        assert!(problem.contains(expected), "{problem}");
        assert_eq!(snapshot.objects.len(), 1, "{text}");
    }
    fs::write(fixture.path("a.yaml"), b"\xff\xfe\n").unwrap();
    assert!(fixture.settle().problem.unwrap().contains("line 1: not UTF-8"));
    assert_eq!(fixture.names(), ["a"]);
    fixture.write("a.yaml", "kind: List\nitems: []\n");
    let snapshot = fixture.settle();
    assert_eq!((snapshot.problem, snapshot.objects.len()), (None, 0));
}

#[test]
fn a_directory_that_vanishes_is_an_accident_a_file_is_not() {
    let mut fixture = Fixture::new();
    fixture.write("a.yaml", &pod("a"));
    let file = fixture.directory.path().join("single.yaml");
    fs::write(&file, pod("single")).unwrap();
    let source = fixture.directory.path().join("source");
    fixture.inventory = Inventory::new(
        vec![source.clone(), file.clone()],
        fixture.directory.path().join("own"),
        "default".into(),
    );
    assert_eq!(fixture.names(), ["a", "single"]);
    fs::rename(&source, fixture.directory.path().join("elsewhere")).unwrap();
    fs::remove_file(&file).unwrap();
    let snapshot = fixture.settle();
    let names: Vec<_> = snapshot.objects.iter().map(|(object, _)| object.identity().2).collect();
    assert_eq!(names, ["a"]);
    let problem = snapshot.problem.unwrap();
    assert!(
        problem.contains("source does not exist") && problem.contains("single.yaml does not exist"),
        "{problem}"
    );
}

/// A file that is written in pieces is not read in between.
#[test]
fn a_change_is_taken_in_once_it_is_quiet() {
    let mut fixture = Fixture::new();
    fixture.write("a.yaml", &format!("{}---\n{}", pod("a"), pod("b")));
    assert_eq!(fixture.names(), ["a", "b"]);
    let count = |inventory: &mut Inventory| {
        let (snapshot, unsettled) = inventory.scan(Trust::WhenQuiet);
        (snapshot.objects.len(), unsettled)
    };
    fixture.write("a.yaml", &pod("a"));
    assert_eq!(count(&mut fixture.inventory), (2, true), "seen, but it may go on");
    fixture.write("a.yaml", &format!("{}---\n{}---\n{}", pod("a"), pod("b"), pod("c")));
    assert_eq!(count(&mut fixture.inventory), (2, true), "it did go on");
    assert_eq!(count(&mut fixture.inventory), (3, false));
    fs::remove_file(fixture.path("a.yaml")).unwrap();
    assert_eq!(count(&mut fixture.inventory), (3, true), "perhaps it is being replaced");
    assert_eq!(count(&mut fixture.inventory), (0, false));
}

#[test]
fn of_two_with_the_same_name_the_first_counts() {
    let mut fixture = Fixture::new();
    fixture.write("a.yaml", &pod("x"));
    fixture.write("b.yaml", &pod("x"));
    let snapshot = fixture.settle();
    assert_eq!(snapshot.objects.len(), 1);
    assert!(snapshot.objects[0].1.ends_with(Path::new("a.yaml")));
}
