//! What `status` and `check` tell of things outside that stand in the way, and how the client behaves for scripts.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use crate::harness::{Vamp, eventually};
use crate::release::count;
use crate::target::Target;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_told_and_served_once_it_is_free() {
    let vamp = Vamp::start().await;
    let target = Target::start("a").await;
    let port = testkit::ports::free();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    vamp.gateway(&format!("name: front\nport: {port}\nroutes: {{\"[{}]\": {{}}}}", target.address)).await;
    let problems = vamp.get("/status").await.body["problems"].to_string();
    assert!(problems.contains("front") && problems.contains(&port.to_string()), "{problems}");
    let output = vamp.cli(&["check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{text}");

    drop(taken);
    // No change of anything is needed for that, nor for the problem to go away.
    eventually("health", || async { (vamp.get("/status").await.body["healthy"] == true).then_some(()) })
        .await;
    let seen = count(&format!("http://127.0.0.1:{port}/"), 3, &[]).await;
    assert_eq!(seen.get("a"), Some(&3), "{seen:?}");
    assert!(vamp.cli(&["check"]).status.success());
}

#[test]
fn what_cannot_work_is_refused_at_the_start_and_names_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("data");
    let check = |flag: &str, value: &str| {
        let mut flags = vec![
            ("--api-listen", "127.0.0.1:0"),
            ("--virtual-host-listen", "127.0.0.1:0"),
            ("--data-dir", folder.path().to_str().unwrap()),
        ];
        flags.retain(|(name, _)| *name != flag);
        flags.push((flag, value));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vamp"));
        let output =
            command.arg("serve").args(flags.iter().flat_map(|(name, value)| [name, value])).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_ne!(output.status.code(), Some(0), "{flag} {value}: {text}");
        assert!(text.contains(flag) && text.contains(value), "{flag} {value}: {text}");
        assert!(output.stdout.is_empty(), "{flag} {value} is announced");
    };
    check("--api-listen", &taken);
    check("--virtual-host-listen", &taken);
    check("--api-listen", "0.0.0.0:0");
    check("--gateway-address", "192.0.2.7");
    check("--data-dir", below.to_str().unwrap());
    check("--access-log", below.to_str().unwrap());
    check("--workers", "100000");
    check("--gateway-selector", "label(");
    check("--token-file", below.to_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_documents_are_applied_whole_or_not_at_all() {
    let vamp = Vamp::start().await;
    let file = vamp.folder().join("many.yaml");
    let apply = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = vamp.cli(&["apply", "-f", file.to_str().unwrap()]);
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), text)
    };
    let (code, text) = apply("name: one\n---\nname: two\nweigth: 1\n");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("many.yaml, document 2") && text.contains("weigth"), "{text}");
    assert_eq!(vamp.get("/gateways").await.body, serde_json::json!([]));

    // One may refer to another, in any order, and all are one change.
    let (code, text) = apply(
        "name: one\nroutes: {'[127.0.0.1:1]': {condition: {reference: beta}}}\n---\n\
         kind: condition\nname: beta\ncondition: has header X-Beta\n---\nname: two\n",
    );
    assert_eq!(code, Some(0), "{text}");
    for line in ["condition/beta created", "gateway/one created", "gateway/two created", "revision 1,"] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
    let (code, text) = apply("name: two\n---\nname: three\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("gateway/two unchanged") && text.contains("gateway/three created"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_refused_fails_and_changes_nothing() {
    let vamp = Vamp::start().await;
    vamp.gateway("name: front\nmetadata: {a: before}").await;
    let check = |script: &str, code: i32, part: &str, after: &str| {
        let editor = vamp.folder().join("editor");
        std::fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = vamp.cli_command(&["edit", "gateway", "front"]);
        let output = command.env_remove("VISUAL").env("EDITOR", &editor).output().unwrap();
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{script}: {text}");
        assert!(text.contains(part), "{script}: {text}");
        let shown = vamp.cli(&["get", "gateway", "front", "-o", "json"]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains(&format!("\"a\": \"{after}\"")), "{script}");
    };
    check("true", 0, "unchanged", "before");
    check("exit 4", 1, "nothing was changed", "before");
    // Each run makes the text worse: without a person at a terminal there is no second one.
    check("echo 'weigth: 1' >> $1", 1, "weigth", "before");
    check("rm $1", 1, "nothing was changed", "before");
    check(": > $1", 0, "unchanged", "before");
    check("sed -i 's/a: before/a: after/' $1", 0, "edited", "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_a_good_neighbour_of_other_programs() {
    let vamp = Vamp::start().await;
    vamp.gateway("name: front").await;
    // Followers end when nobody reads any more, although nothing happens that they could write.
    for arguments in [&["events", "-w"][..], &["get", "gateways", "-w"]] {
        let mut child = vamp.cli_command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut out, &mut String::new()).unwrap();
        drop(out);
        let code = eventually("the follower to end", || {
            let ended = child.try_wait().unwrap();
            async move { ended }
        })
        .await;
        assert_eq!(code.code(), Some(0), "{arguments:?}");
    }
    // What is read may be written back, and is no difference.
    let document = vamp.cli(&["get", "gateway", "front", "-o", "yaml"]).stdout;
    let file = vamp.folder().join("front.yaml");
    std::fs::write(&file, &document).unwrap();
    let file = file.to_str().unwrap();
    assert!(vamp.cli(&["diff", "-f", file]).status.success());
    assert!(vamp.cli(&["apply", "-f", file]).status.success());
    assert!(vamp.cli(&["diff", "-f", file]).status.success());
    assert_eq!(vamp.cli(&["get", "gateway", "front", "-o", "yaml"]).stdout, document);

    assert_eq!(vamp.cli(&["local", "delete", "nothing"]).status.code(), Some(1));
    let output = vamp.cli_command(&["get", "gateways"]).env("VAMP_TOKEN", "a\nb").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(vamp.cli_command(&["get", "gateways"]).env("VAMP_TOKEN", "").output().unwrap().status.success());
    // Every verb describes itself.
    let help = |arguments: &[&str]| String::from_utf8_lossy(&vamp.cli(arguments).stdout).into_owned();
    assert!(help(&["--help"]).contains("Move traffic"), "{}", help(&["--help"]));
    assert!(
        help(&["status", "--help"]).starts_with("Say whether everything is healthy"),
        "{}",
        help(&["status", "--help"])
    );
}
