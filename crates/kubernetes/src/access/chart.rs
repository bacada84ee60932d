//! The chart and the plain manifests grant what the table says: their rules are written from here.

use std::fmt::Write as _;
use std::path::Path;

use super::manifests;
use super::rights::{self, Scope};

const HEAD: &str = "Made from the table of rights: VAMP_UPDATE=1 cargo test -p kubernetes rights";

/// Templates with the rules of each scope, and with the roles of people.
fn templates() -> String {
    let mut text = format!("{{{{- /* {HEAD} */ -}}}}\n");
    for (name, scope) in [
        ("environment", Scope::Environment),
        ("installation", Scope::Installation),
        ("discovery", Scope::Discovery),
        ("elsewhere", Scope::Elsewhere),
    ] {
        let _ = writeln!(text, "{{{{- define \"vamp.rights.{name}\" -}}}}");
        for right in rights::of(scope) {
            let _ = writeln!(text, "- {}", right.rule_text());
        }
        text.push_str("{{- end }}\n");
    }
    let _ = write!(text, "{{{{- define \"vamp.people\" -}}}}\n{}{{{{- end }}}}\n", people());
    text
}

fn people() -> String {
    let roles: Vec<String> = manifests::people().iter().map(model::yaml::to_string).collect();
    roles.join("---\n")
}

/// Set `VAMP_UPDATE=1` to write them.
#[test]
fn the_manifests_of_rights_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let head =
        "What people may do with gateways: roles that add to view, edit and admin, once for each cluster.";
    for (file, fresh) in [
        ("chart/vamp/templates/_rights.tpl", templates()),
        ("roles.yaml", format!("# {head}\n# {HEAD}\n{}", people())),
    ] {
        let path = folder.join(file);
        if std::env::var_os("VAMP_UPDATE").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == fresh,
            "deploy/{file} is stale: run VAMP_UPDATE=1 cargo test -p kubernetes rights"
        );
    }
}
