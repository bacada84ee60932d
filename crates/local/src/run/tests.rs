use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use super::address::Addresses;
use super::command::{Launch, PodFacts, check, launch};
use super::expand::expand;
use super::logs::Logs;
use super::probe::Judge;
use super::rollout::{Member, Steps, plan};
use crate::manifest::{Container, Format, Object, Probe, ProbeAction, Template, objects};

/// The rows follow Kubernetes' own table for this syntax.
#[test]
fn variables_expand_as_in_kubernetes() {
    let lookup = |name: &str| match name {
        "A" => Some("1"),
        "B_2" => Some("two"),
        "EMPTY" => Some(""),
        "DOLLAR" => Some("$(A)"),
        _ => None,
    };
    for (text, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("$(A)", "1"),
        ("x$(A)y$(B_2)z", "x1ytwoz"),
        ("$(A)$(A)", "11"),
        ("$(EMPTY)", ""),
        ("$(NOBODY)", "$(NOBODY)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A", "$A"),
        ("${A}", "${A}"),
        ("$(A", "$(A"),
        ("$", "$"),
        ("a$", "a$"),
        ("$$", "$"),
        ("$()", "$()"),
        ("$(DOLLAR)", "$(A)"),
        ("ü$(A)ü", "ü1ü"),
    ] {
        assert_eq!(expand(text, lookup), expected, "{text}");
    }
}

fn template(container: &str) -> Template {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec: {{template: {{metadata: {{labels: {{app: shop}}}}, spec: {{containers: [{container}]}}}}}}\n"
    );
    match objects(&text, Format::Yaml, "default").unwrap().remove(0) {
        Object::Deployment(deployment) => deployment.template.clone(),
        other => panic!("{other:?}"),
    }
}

fn started(container: &str) -> Launch {
    let template = template(container);
    check(&template).unwrap();
    let pod =
        PodFacts { namespace: "ns", name: "d-1", ip: Ipv4Addr::new(127, 9, 9, 9), labels: &template.labels };
    let base = [("SHARED".to_owned(), "yes".to_owned())];
    launch(&template.containers[0], &pod, Path::new("/bin/vamp"), &base).unwrap()
}

#[test]
fn command_args_and_env_become_a_process() {
    let launch = started(
        "{name: c, image: x, command: [run, '--listen=$(POD_IP):80'], args: ['$(URL)', $$(URL)], env: [{name: HOST, value: h}, {name: URL, value: 'http://$(HOST)/$(LATER)'}, {name: LATER, value: l}, {name: APP, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}]}",
    );
    assert_eq!(launch.program, "run");
    assert_eq!(launch.arguments, ["--listen=127.9.9.9:80", "http://h/$(LATER)", "$(URL)"]);
    let get = |name: &str| launch.environment.get(name).map(String::as_str);
    assert_eq!(get("POD_IP"), Some("127.9.9.9"));
    assert_eq!(get("POD_NAME"), Some("d-1"));
    assert_eq!(get("APP"), Some("shop"));
    assert_eq!(get("SHARED"), Some("yes"));
    assert!(get("PATH").is_some());
    assert_eq!(get("CARGO_MANIFEST_DIR"), None, "our own environment stays here");
}

#[test]
fn known_images_need_no_command() {
    for (container, expected) in [
        (
            "{name: c, image: 'vampio/sava-product:1.0.3', ports: [{containerPort: 8080}]}",
            ["sava-product", "--version", "1.0.3", "--listen", "127.9.9.9:8080"],
        ),
        (
            "{name: c, image: 'docker.io/vampio/sava-cart:2.0.1@sha256:ab', ports: [{containerPort: 53, protocol: UDP}, {containerPort: 3001}]}",
            ["sava-cart", "--version", "2.0.1", "--listen", "127.9.9.9:3001"],
        ),
        (
            "{name: c, image: vampio/sava-cart}",
            ["sava-cart", "--version", "latest", "--listen", "127.9.9.9:3000"],
        ),
    ] {
        let launch = started(container);
        assert_eq!(launch.program, "/bin/vamp");
        assert_eq!(launch.arguments, expected);
    }
}

#[test]
fn what_cannot_run_here_says_why() {
    for (container, part) in [
        ("{name: c, image: 'nginx:1'}", "'nginx:1' is not run here, and there is no 'command'"),
        ("{name: c, image: 'localhost:5000/vampio/sava-cart:1'}", "is not run here"),
        ("{name: c, command: ['']}", "first word of 'command' is empty"),
        (
            "{name: c, command: [x], env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]}",
            "'secretKeyRef', which only a cluster has",
        ),
        (
            "{name: c, command: [x], env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}",
            "'spec.nodeName'",
        ),
    ] {
        let error = check(&template(container)).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn rollouts_step_by_step() {
    // c/o: current or old. Upper case: ready. A trailing '-': leaving.
    let check = |replicas: usize, recreate: bool, members: &str, start: usize, stop: &[usize]| {
        let members: Vec<Member> = members
            .split_whitespace()
            .map(|word| Member {
                current: word.starts_with(['c', 'C']),
                ready: word.starts_with(['C', 'O']),
                leaving: word.ends_with('-'),
            })
            .collect();
        let mut steps = plan(replicas, recreate, &members);
        steps.stop.sort_unstable();
        assert_eq!(steps, Steps { start, stop: stop.to_vec() }, "{replicas} {members:?}");
    };
    check(2, false, "", 2, &[]);
    check(2, false, "c c", 0, &[]);
    check(0, false, "C C", 0, &[0, 1]);
    check(1, false, "C C", 0, &[1]);
    check(1, false, "C c", 0, &[1]);
    check(1, false, "c C", 0, &[0]);
    check(2, false, "C C-", 1, &[]);
    // A new version: first up, then ready, then one old one for each new one.
    check(2, false, "O O", 2, &[]);
    check(2, false, "O O c c", 0, &[]);
    check(2, false, "O O C c", 0, &[0]);
    check(2, false, "O- O C C", 0, &[1]);
    check(2, false, "O- O- C C", 0, &[]);
    // Old ones that do not serve leave first.
    check(2, false, "o O C c", 0, &[0]);
    check(1, false, "o O c", 0, &[0]);
    // Scaled up at the same time, and back down.
    check(3, false, "O", 3, &[]);
    check(1, false, "O O O c", 0, &[0, 1]);
    // Recreate: the old ones are gone before the new ones come.
    check(2, true, "O O", 0, &[0, 1]);
    check(2, true, "O- O-", 0, &[]);
    check(2, true, "", 2, &[]);
}

proptest::proptest! {
    /// From any start, repeated steps end in exactly the wanted replicas, and a rolling update never has fewer ready
    /// ones than before (up to the number wanted).
    #[test]
    fn rollouts_converge(replicas in 0usize..6, recreate: bool, start in proptest::collection::vec((proptest::bool::ANY, proptest::bool::ANY, proptest::bool::ANY), 0..8)) {
        let mut members: Vec<Member> =
            start.into_iter().map(|(current, ready, leaving)| Member { current, ready: ready && !leaving, leaving }).collect();
        let serving = |members: &[Member]| members.iter().filter(|m| m.ready && !m.leaving).count();
        for _ in 0..40 {
            let before = serving(&members);
            let steps = plan(replicas, recreate, &members);
            for at in &steps.stop {
                members[*at].leaving = true;
            }
            if !recreate {
                proptest::prop_assert!(serving(&members) >= before.min(replicas));
            }
            members.extend(vec![Member { current: true, ready: false, leaving: false }; steps.start]);
            proptest::prop_assert!(members.iter().filter(|m| m.current && !m.leaving).count() <= replicas.max(8));
            // Time passes: one gets ready, one is gone.
            if let Some(member) = members.iter_mut().find(|m| m.current && !m.ready && !m.leaving) {
                member.ready = true;
            }
            if let Some(at) = members.iter().position(|m| m.leaving) {
                members.remove(at);
            }
        }
        proptest::prop_assert_eq!(members.len(), replicas);
        proptest::prop_assert!(members.iter().all(|m| m.current && m.ready && !m.leaving));
    }
}

#[test]
fn thresholds_count_results_in_a_row() {
    let probe = Probe {
        action: ProbeAction::Tcp { port: 1 },
        initial_delay: Duration::ZERO,
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        successes: 2,
        failures: 3,
    };
    let mut judge = Judge::default();
    let verdicts: Vec<_> = "+-++--+---+".chars().map(|c| judge.learn(c == '+', &probe)).collect();
    let (up, down) = (Some(true), Some(false));
    assert_eq!(verdicts, [None, None, None, up, None, None, None, None, None, down, None]);
}

#[test]
fn addresses_are_stable_exclusive_and_free() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let addresses = Addresses::new(None, directory.path());
    let first = addresses.claim("a", &[18_080]).unwrap();
    assert!(first.ip().is_loopback());
    let second = addresses.claim("a", &[18_080]).unwrap();
    assert_ne!(first.ip(), second.ip());
    let ip = first.ip();
    // Another process with the same block keeps away.
    let rival = Addresses::new(Some(ip), other.path());
    for _ in 0..3 {
        let claim = rival.claim("a", &[18_080]).unwrap();
        assert!(claim.ip() != first.ip() && claim.ip() != second.ip());
    }
    drop(first);
    assert_eq!(addresses.claim("a", &[18_080]).unwrap().ip(), ip, "the same again");
    // A port that somebody else listens on is not free.
    let taken = TcpListener::bind((ip, 18_081)).unwrap();
    assert_ne!(addresses.claim("a", &[18_081]).unwrap().ip(), ip);
    drop(taken);
    assert_eq!(addresses.claim("a", &[18_081]).unwrap().ip(), ip);
}

#[test]
fn a_port_that_is_taken_everywhere_is_named() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let error = Addresses::new(None, directory.path()).claim("a", &[port]).unwrap_err().to_string();
    assert!(error.contains(&format!("listens on 0.0.0.0:{port}")), "{error}");
}

#[tokio::test]
async fn logs_keep_the_last_lines_and_stay_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let logs = Logs::new(directory.path().join("logs"));
    let log = logs.open("x");
    let mut text: Vec<u8> = b"first\r\n".to_vec();
    text.extend(vec![b'y'; 100_000]);
    text.extend(b"\n\xff\nno end");
    log.clone().copy(text.as_slice()).await;
    let tail = logs.tail("x", 10).unwrap();
    assert_eq!(tail.len(), 4);
    assert_eq!(
        (tail[0].as_str(), tail[1].len(), tail[2].as_str(), tail[3].as_str()),
        ("first", 8 * 1024, "\u{fffd}", "no end")
    );
    for i in 0..300_000 {
        log.push(format!("line {i}"));
    }
    assert_eq!(logs.tail("x", usize::MAX).unwrap().len(), 1_000);
    assert_eq!(logs.tail("x", 1).unwrap(), ["line 299999"]);
    let size: u64 = std::fs::read_dir(directory.path().join("logs"))
        .unwrap()
        .map(|e| e.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size < 3 * 1024 * 1024, "{size}");
    assert_eq!(logs.tail("nobody", 1), None);
    logs.close("x");
    assert!(logs.tail("x", 1).is_some(), "kept for a while");
    for i in 0..300 {
        std::fs::write(directory.path().join(format!("logs/old-{i}.log")), "").unwrap();
    }
    Logs::new(directory.path().join("logs"));
    assert_eq!(std::fs::read_dir(directory.path().join("logs")).unwrap().count(), 200);
}

#[test]
fn unused_container_fields_have_defaults() {
    let Container { readiness, ports, directory, .. } =
        template("{name: c, command: [x]}").containers.remove(0);
    assert_eq!((readiness, ports.len(), directory), (None, 0, None));
    assert_eq!(
        BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        template("{name: c, command: [x]}").labels
    );
}
