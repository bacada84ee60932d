//! Where Helm is at hand, it says the same as the renderer of this crate.

use std::process::Command;

use super::*;

#[test]
fn helm_renders_the_same() {
    let helm = std::env::var_os("HELM").unwrap_or_else(|| "helm".into());
    let Ok(version) = Command::new(&helm).args(["version", "--short"]).output() else {
        testkit::kube::skip("no helm on the PATH, nor in HELM");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    for (shape, values) in shapes() {
        let file = folder.path().join(format!("{shape}.json"));
        fs::write(&file, values.to_string()).unwrap();
        let output = Command::new(&helm)
            .args(["template", "vamp", "--namespace=vamp-system", "--values"])
            .arg(&file)
            .arg(root().join("deploy/chart/vamp"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{shape}: {}", String::from_utf8_lossy(&output.stderr));
        let theirs = model::yaml::read_all(&String::from_utf8(output.stdout).unwrap()).unwrap();
        let mut theirs: Vec<String> =
            theirs.iter().map(|node| model::yaml::to_string(&node.to_value())).collect();
        let mut ours: Vec<String> =
            rendered(&values).iter().map(|object| model::yaml::to_string(&object.value)).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(theirs.len(), ours.len(), "{shape}");
        for (theirs, ours) in theirs.iter().zip(&ours) {
            assert_eq!(theirs, ours, "{shape}: Helm on the left");
        }
    }
}
