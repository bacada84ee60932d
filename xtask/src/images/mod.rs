//! `cargo xtask images`: static binaries, and container images made of nothing but them, without a container engine.
//!
//! ```text
//! cargo build --target ... --> target/<target>/release/{vamp, sava-product, sava-cart} --archive--> target/images.tar
//! ```
//!
//! `docker load -i`, `podman load -i`, `kind load image-archive`, `k3d image import` and `ctr -n k8s.io images import` take the archive.

mod archive;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};

use super::{cargo, root, step};
use archive::{Archive, Image};

/// Programs that images hold.
const PROGRAMS: [&str; 3] = ["vamp", "sava-product", "sava-cart"];

/// The images of the shop: program, version and further environment. 2.0.2 is the release that goes wrong.
const SHOP: [(&str, &str, &[&str]); 4] = [
    ("sava-product", "1.0.3", &[]),
    ("sava-product", "2.0.1", &[]),
    ("sava-product", "2.0.2", &["SAVA_ERROR_RATE=50"]),
    ("sava-cart", "1.0.5", &[]),
];

/// Ports that the images tell of.
fn ports(program: &str) -> &'static [u16] {
    match program {
        "vamp" => &[8000, 8090, 8091, 8092],
        "sava-product" => &[8080],
        _ => &[3000],
    }
}

/// Builds the binaries and packs the images. `--from DIR`: packs binaries that are there already.
///
/// # Errors
/// The build fails, a binary is not static, or the archive cannot be written.
pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let folder = match arguments {
        [] => build()?,
        [from, folder] if from == "--from" => PathBuf::from(folder),
        _ => bail!("cargo xtask images [--from DIR]"),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let path = target.join("images.tar");
    let mut archive = Archive::default();
    for image in images(&folder)? {
        eprintln!("{}", image.reference);
        archive.add(&image);
    }
    fs::write(&path, archive.finish()).with_context(|| path.display().to_string())?;
    eprintln!("== {} ({:.1} MiB)", path.display(), fs::metadata(&path)?.len() as f64 / f64::from(1 << 20));
    Ok(ExitCode::SUCCESS)
}

fn images(folder: &Path) -> anyhow::Result<Vec<Image>> {
    let mut binaries = Vec::new();
    for program in PROGRAMS {
        let path = folder.join(program);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let architecture = archive::inspect(&bytes).with_context(|| path.display().to_string())?;
        binaries.push((program, bytes, architecture));
    }
    let version = env!("CARGO_PKG_VERSION");
    let vamp = std::iter::once(("vamp", version, &[][..]));
    let image = |(program, version, environment): (&str, &str, &[&str])| {
        let (_, bytes, architecture) = binaries.iter().find(|(name, ..)| *name == program)?;
        let own = (program != "vamp").then(|| format!("VERSION={version}"));
        Some(Image {
            reference: format!("docker.io/vampio/{program}:{version}"),
            program: program.to_owned(),
            binary: bytes.clone(),
            architecture: *architecture,
            environment: own.into_iter().chain(environment.iter().map(|&text| text.to_owned())).collect(),
            ports: ports(program),
            version: version.to_owned(),
        })
    };
    Ok(vamp.chain(SHOP).filter_map(image).collect())
}

/// Builds the static binaries; the folder that they are in.
fn build() -> anyhow::Result<PathBuf> {
    super::ui::build()?;
    let triple = triple();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut command = cargo(["build", "--release", "--package", "vamp", "--package", "sava", "--bins"]);
    // With --target, build scripts and macros are built as usual.
    command.args(["--target", &triple]);
    let key = triple.to_uppercase().replace('-', "_");
    command.env(format!("CARGO_TARGET_{key}_RUSTFLAGS"), "-C target-feature=+crt-static");
    if triple.ends_with("musl") {
        command.env(format!("CC_{}", triple.replace('-', "_")), "musl-gcc");
    }
    step(&format!("build for {triple}"), command)?;
    Ok(target.join(triple).join("release"))
}

/// musl where it is installed; else the C library of this machine, linked statically too.
fn triple() -> String {
    let architecture = std::env::consts::ARCH;
    let musl = format!("{architecture}-unknown-linux-musl");
    let quiet = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|o| o.status.success())
    };
    let library = quiet("rustc", &["--print", "target-libdir", "--target", &musl])
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let installed = library.is_some_and(|folder| folder.is_dir());
    if installed && quiet("musl-gcc", &["--version"]).is_some() {
        musl
    } else {
        format!("{architecture}-unknown-linux-gnu")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str) -> String {
        fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    #[test]
    fn containerfiles_build_what_is_packed_here() {
        let toolchain = text("rust-toolchain.toml");
        let version = toolchain.split('"').nth(1).expect("a channel");
        let (vamp, shop) = (text("deploy/Containerfile"), text("deploy/sava/Containerfile"));
        for file in [&vamp, &shop] {
            assert!(file.contains(&format!("rust:{version}-alpine")), "rust-toolchain.toml says {version}");
            assert!(
                file.contains(&format!("RUSTUP_TOOLCHAIN={version}")),
                "rust-toolchain.toml says {version}"
            );
            assert!(file.contains("\nFROM scratch\n") && file.contains("USER 65532:65532"));
        }
        assert!(vamp.contains(&format!("vampio/vamp:{}", env!("CARGO_PKG_VERSION"))));
        for (program, version, environment) in SHOP {
            assert!(shop.contains(&format!("VERSION={version}")), "{program} {version}");
            for variable in environment {
                assert!(
                    shop.contains(variable.trim_start_matches("SAVA_")),
                    "{program} {version}: {variable}"
                );
            }
        }
    }
}
