//! The README's first command, without the build.

use std::process::Command;

#[test]
fn the_story_holds() {
    let output = Command::new(env!("CARGO_BIN_EXE_vamp"))
        .args([
            "demo",
            "--exit-after-story",
            "--api-listen",
            "127.0.0.1:0",
            "--virtual-host-listen",
            "127.0.0.1:0",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}\n{errors}");
    for part in [
        "Deployed, not released",
        "50 and 50, exactly",
        "Taken back in",
        "curl -H 'Host: ie.tutorials.vamp.cloud'",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}
