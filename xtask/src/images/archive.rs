//! The archive of `docker save`: a tar with a layer and a configuration for each image, and a list of them. Images of the same binary
//! share their layer. The same binaries give the same bytes: there is no time in it.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user that programs run as; in no list of users, which an image without files does not have.
const USER: &str = "65532:65532";

/// An image of one program.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) reference: String,
    pub(super) program: String,
    pub(super) binary: Vec<u8>,
    pub(super) architecture: Architecture,
    pub(super) environment: Vec<String>,
    pub(super) ports: &'static [u16],
    pub(super) version: String,
}

/// As container registries call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Architecture {
    Amd64,
    Arm64,
}

/// What a binary is for.
///
/// # Errors
/// Not a static program for Linux: an image without files could not run it.
pub(super) fn inspect(binary: &[u8]) -> anyhow::Result<Architecture> {
    let field = |at: usize, length: usize| -> anyhow::Result<u64> {
        let bytes = binary.get(at..at + length).context("it ends too early")?;
        Ok(bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    };
    if binary.get(..6) != Some(b"\x7fELF\x02\x01") {
        bail!("this is no 64-bit little-endian ELF program");
    }
    let architecture = match field(18, 2)? {
        62 => Architecture::Amd64,
        183 => Architecture::Arm64,
        other => bail!("machine {other} is none that images are made for"),
    };
    let (table, size, count) = (field(32, 8)?, field(54, 2)?, field(56, 2)?);
    for index in 0..count {
        let at = usize::try_from(table + index * size).context("a table of segments beyond reach")?;
        // A segment that names the program's loader.
        if field(at, 4)? == 3 {
            bail!("this program needs a loader and libraries; it must be linked statically");
        }
    }
    Ok(architecture)
}

/// An archive that grows image by image.
#[derive(Debug, Default)]
pub(super) struct Archive {
    layers: BTreeMap<String, Vec<u8>>,
    configurations: BTreeMap<String, Vec<u8>>,
    manifest: Vec<Value>,
}

impl Archive {
    /// Takes an image in.
    pub(super) fn add(&mut self, image: &Image) {
        let mut layer = Vec::new();
        entry(&mut layer, &image.program, 0o755, &image.binary);
        end(&mut layer);
        let digest = digest(&layer);
        let ports: BTreeMap<String, Value> =
            image.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
        let configuration = json!({
            "architecture": match image.architecture {
                Architecture::Amd64 => "amd64",
                Architecture::Arm64 => "arm64",
            },
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{}", image.program)],
                "Env": image.environment,
                "ExposedPorts": ports,
                "WorkingDir": "/",
                "Labels": {
                    "org.opencontainers.image.title": image.program,
                    "org.opencontainers.image.version": image.version,
                    "org.opencontainers.image.licenses": "Apache-2.0",
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "history": [{"created_by": "cargo xtask images"}],
        });
        let configuration = configuration.to_string().into_bytes();
        let (layer_name, name) = (format!("{digest}.tar"), format!("{}.json", self::digest(&configuration)));
        self.manifest.push(json!({"Config": name, "RepoTags": [image.reference], "Layers": [layer_name]}));
        self.layers.insert(layer_name, layer);
        self.configurations.insert(name, configuration);
    }

    /// The whole archive.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, bytes) in self.configurations.iter().chain(&self.layers) {
            entry(&mut out, name, 0o644, bytes);
        }
        entry(&mut out, "manifest.json", 0o644, Value::Array(self.manifest).to_string().as_bytes());
        end(&mut out);
        out
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file of root in a tar (POSIX ustar). Names here are short: a digest and an ending at most.
fn entry(out: &mut Vec<u8>, name: &str, mode: u32, bytes: &[u8]) {
    let mut header = [0u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", bytes.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out.extend_from_slice(&header);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
}

fn end(out: &mut Vec<u8>) {
    out.resize(out.len() + 1024, 0);
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn image(program: &str, version: &str, binary: &[u8]) -> Image {
        Image {
            reference: format!("docker.io/vampio/{program}:{version}"),
            program: program.to_owned(),
            binary: binary.to_vec(),
            architecture: Architecture::Amd64,
            environment: vec![format!("VERSION={version}")],
            ports: &[8080],
            version: version.to_owned(),
        }
    }

    /// `tar` itself reads what is written here, layers too.
    #[test]
    fn tar_reads_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = Archive::default();
        let binary: Vec<u8> = (0..1500u32).map(|i| i as u8).collect();
        for version in ["1.0.3", "2.0.1"] {
            archive.add(&image("sava-product", version, &binary));
        }
        let bytes = archive.finish();
        std::fs::write(folder.path().join("images.tar"), &bytes).unwrap();
        let tar = |arguments: &[&str]| {
            let output = Command::new("tar").args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        tar(&["-xf", "images.tar"]);
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        let manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
        assert_eq!(manifest[1]["RepoTags"][0], "docker.io/vampio/sava-product:2.0.1");
        assert_eq!(manifest[0]["Layers"], manifest[1]["Layers"], "one layer for one binary");
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        let configuration: Value =
            serde_json::from_slice(&read(manifest[1]["Config"].as_str().unwrap())).unwrap();
        assert_eq!(configuration["config"]["Env"], json!(["VERSION=2.0.1"]));
        assert_eq!(configuration["config"]["User"], USER);
        assert_eq!(configuration["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(&read(layer))));
        assert_eq!(tar(&["-xOf", layer, "sava-product"]), binary);
        let listed = String::from_utf8(tar(&["-tvf", layer])).unwrap();
        assert!(listed.starts_with("-rwxr-xr-x 0/0"), "{listed}");
    }

    #[test]
    fn only_static_programs_are_packed() {
        let mut binary = vec![0u8; 64 + 2 * 56];
        binary[..6].copy_from_slice(b"\x7fELF\x02\x01");
        binary[18] = 62;
        binary[32] = 64;
        binary[54] = 56;
        binary[56] = 2;
        binary[64] = 1;
        assert_eq!(inspect(&binary).unwrap(), Architecture::Amd64);
        binary[64 + 56] = 3;
        assert!(inspect(&binary).unwrap_err().to_string().contains("linked statically"));
        binary.truncate(100);
        assert!(inspect(&binary).unwrap_err().to_string().contains("ends too early"));
        assert!(inspect(b"#!/bin/sh\n").unwrap_err().to_string().contains("no 64-bit"));
        // The program of this test is linked as usual.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        if cfg!(all(target_os = "linux", target_env = "gnu", not(target_feature = "crt-static"))) {
            assert!(inspect(&own).is_err());
        }
    }
}
