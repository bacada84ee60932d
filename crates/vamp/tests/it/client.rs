//! The command line client against the real server.

use std::process::Output;

use crate::harness::Vamp;
use crate::target::Target;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_do_what_they_say() {
    let vamp = Vamp::start().await;
    let targets = [Target::start("a").await, Target::start("b").await];
    let (a, b) = (format!("[{}]", targets[0].address), format!("[{}]", targets[1].address));
    let file = vamp.folder().join("front.yaml");
    let file = file.to_str().unwrap();
    std::fs::write(file, format!("name: front\nroutes:\n  \"{a}\": {{}}\n  \"{b}\": {{}}\n")).unwrap();

    let check = |arguments: &[&str], code: i32, parts: &[&str]| {
        let output = vamp.cli(arguments);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{arguments:?}: {part:?} is missing in {text}");
        }
        text
    };
    check(&["diff", "-f", file], 1, &["+name: front"]);
    check(&["apply", "-f", file, "--dry-run"], 0, &["gateway/front created (dry run)"]);
    check(&["get", "gateway", "front"], 1, &["error:"]);
    check(&["apply", "-f", file], 0, &["gateway/front created", "applied by 1/1"]);
    check(&["get", "gateways"], 0, &["NAME", "front", "2/2", "50%"]);
    check(&["get", "gateways", "-o", "name"], 0, &["gateway/front"]);
    check(&["get", "gateway", "front", "-o", "json"], 0, &["\"lookup_name\""]);
    check(&["get", "gateway", "front", "-o", "yaml"], 0, &["name: front"]);
    check(&["weight", "front", &format!("{a}=90%")], 0, &["50% -> 90%", "50% -> 10%"]);
    check(&["weight", "front", &format!("{a}=90%"), &format!("{b}=20%")], 1, &["more than 100%"]);
    check(&["weight", "front", "c=90%"], 1, &["no route 'c'", &a]);
    check(
        &["condition", "front", &b, "has header X-Beta", "--strength", "50%"],
        0,
        &["-> has header X-Beta", "0% -> 50%"],
    );
    let text = check(&["condition", "front", &b, "has heder X"], 1, &["error:", "for example"]);
    assert!(!text.contains("line 1, column"), "the document is not the user's: {text}");
    check(&["route", "test", "front", "-H", "X-Beta: 1"], 0, &["Route:", "Reason:"]);
    check(&["sticky", "front", "route"], 0, &["- -> route"]);
    check(&["evict", "front"], 0, &["front"]);
    check(&["describe", "gateway", "front"], 0, &["has header X-Beta", "Latest events"]);
    check(&["events", "--gateway", "front"], 0, &["archive", "route:weightupdated"]);
    check(&["top", "--once"], 0, &["front", &a]);
    check(&["top", "nope", "--once"], 1, &["no gateway 'nope'", "front"]);
    check(&["local", "delete", "nope"], 1, &["workload/nope not found"]);
    check(&["get", "environments"], 0, &["NAME", "default", "yes"]);
    check(&["get", "environment", "default", "-o", "json"], 0, &["\"prefix\": \"/default\""]);
    check(&["get", "environment", "nope"], 1, &["there are: default"]);
    check(&["describe", "environment", "default"], 0, &["namespace: default"]);
    check(&["get", "gateways", "--env", "default"], 0, &["front"]);
    check(&["get", "gateways", "--env", "nope/default"], 1, &["Environment cannot be found: 'nope/default'"]);
    check(&["get", "gateways", "--env", "nope"], 1, &["Environment cannot be found: 'nope'"]);
    check(&["status"], 0, &["healthy"]);
    check(&["status", "--timeout", "10s"], 0, &["healthy"]);
    check(&["check"], 0, &["nothing wrong found"]);
    check(&["completion", "bash"], 0, &["vamp"]);
    check(&["diff", "-f", file], 1, &["-", "+"]);
    check(&["delete", "gateway", "front"], 0, &["gateway/front deleted"]);
    check(&["delete", "gateway", "front"], 1, &["not found"]);
    check(&["get", "gateways"], 0, &["no gateways found"]);
    check(&["get", "nonsense"], 2, &["unknown kind"]);
    check(&["frobnicate"], 2, &[]);
    check(&["get", "gateways", "--url", "http://127.0.0.1:1"], 3, &["cannot reach", "VAMP_URL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_shows_the_place() {
    let vamp = Vamp::start().await;
    let file = vamp.folder().join("bad.yaml");
    std::fs::write(&file, "name: front\nroutes:\n  a: {weigth: 50%}\n").unwrap();
    let output = vamp.cli(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("weigth") && text.contains("line 3"), "{text}");

    std::fs::write(&file, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\n").unwrap();
    let output = vamp.cli(&["apply", "-f", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("vamp local apply"), "{}", stderr(&output));
}
