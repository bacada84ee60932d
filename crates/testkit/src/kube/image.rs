//! Images of programs of this checkout, brought to the nodes of the test cluster.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::{Namespace, checked, run, skip};

/// Names a command that brings an image archive, its last argument, to all nodes: for example `kind load image-archive`.
pub const LOAD_IMAGE: &str = "VAMP_TEST_LOAD_IMAGE";

/// Says why the cluster has no node that runs pods, where the one who started it knows.
const NO_NODE: &str = "VAMP_TEST_NO_NODE";

/// A program as an image: nothing but it and the libraries it needs.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// Name and version, such as `vampio/sava-product:1.0.3`.
    pub reference: &'a str,
    /// The program.
    pub program: &'a Path,
    /// Variables as `NAME=VALUE`.
    pub environment: &'a [&'a str],
    /// First arguments.
    pub arguments: &'a [&'a str],
}

impl Namespace {
    /// Whether pods of images of this checkout run here; if not, the running test is reported as skipped.
    pub async fn runs_images(&self) -> bool {
        if !self.runs_pods().await {
            let why = std::env::var(NO_NODE).map(|why| format!(" ({why})")).unwrap_or_default();
            skip(&format!("no node of the cluster runs pods{why}"));
            return false;
        }
        if std::env::var_os(LOAD_IMAGE).is_none_or(|command| command.is_empty()) {
            skip(&format!("{LOAD_IMAGE} is not set; see CONTRIBUTING.md, \"Tests on a cluster\""));
            return false;
        }
        true
    }

    /// Brings an image to the nodes.
    pub async fn load(&self, image: &Image<'_>) {
        let archive = self.folder.path().join("image.tar");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../xtask/kube/kube-up.sh");
        let mut make = Command::new(script);
        make.args(["-", "archive"]).arg(&archive).arg(image.reference).arg(image.program);
        make.args(image.environment).arg("--").args(image.arguments);
        checked(&format!("image {}", image.reference), run(&mut make, None).await);
        let command = std::env::var(LOAD_IMAGE).expect("asked for before");
        let mut words = command.split_whitespace();
        let program = PathBuf::from(words.next().expect("a command"));
        let mut load = Command::new(program);
        load.args(words).arg(&archive);
        checked(&command, run(&mut load, None).await);
        // Only to save space; the folder goes with the test.
        let _ = std::fs::remove_file(archive);
    }
}
