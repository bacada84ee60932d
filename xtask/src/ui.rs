//! Builds and tests the web UI. Node.js does the work; without it everything else goes on, and the binary says how to build it in.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use anyhow::{Context as _, bail};

use super::{root, step};

/// The oldest Node.js that the tools of the UI support.
const NODE: (u32, u32) = (20, 19);

/// Programs that are Chromium, on the systems that people have.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// `cargo xtask ui`: builds it; `cargo xtask ui test`: tests it too.
pub(crate) fn run(verb: Option<&OsStr>) -> anyhow::Result<ExitCode> {
    if let Err(reason) = node() {
        bail!("{reason}");
    }
    build()?;
    match verb.and_then(OsStr::to_str) {
        None => {}
        Some("test") => {
            check()?;
            step("build vamp", super::cargo(["build", "--package", "vamp", "--quiet"]))?;
            browser_tests()?;
        }
        Some(other) => bail!("'{other}' is not known; write `cargo xtask ui` or `cargo xtask ui test`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes `ui/dist` when it is older than its sources. Without Node.js it says so and leaves things as they are.
pub(crate) fn build() -> anyhow::Result<()> {
    if let Err(reason) = node() {
        eprintln!("== no web UI is built in: {reason}");
        return Ok(());
    }
    let stamp = root().join("ui/dist/.stamp");
    let fresh = format!("{:016x}", fingerprint(&sources()?)?);
    if root().join("ui/dist/index.html").exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == fresh)
    {
        return Ok(());
    }
    install()?;
    step("build the web UI", npm(&["run", "build"]))?;
    fs::write(&stamp, fresh).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Types and everything that needs no browser.
pub(crate) fn check() -> anyhow::Result<()> {
    if node().is_err() {
        return Ok(());
    }
    install()?;
    step("check the web UI", npm(&["run", "check"]))?;
    step("test the web UI", npm(&["test"]))
}

/// The UI in a browser, against the binary in `target/debug`. The reason when they are skipped.
pub(crate) fn browser_tests() -> anyhow::Result<Option<String>> {
    if let Err(reason) = node() {
        return Ok(Some(reason));
    }
    let Some(browser) = browser() else {
        return Ok(Some(format!("no browser: install Chromium ({})", BROWSERS.join(", "))));
    };
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut tests = npm(&["run", "e2e"]);
    tests.env("VAMP_BINARY", target.join("debug").join("vamp")).env("CHROMIUM", browser);
    step("test the web UI in a browser", tests)?;
    Ok(None)
}

/// `Ok` when there is a Node.js that is new enough, with npm.
fn node() -> Result<(), String> {
    let version =
        Command::new("node").arg("--version").output().ok().filter(|output| output.status.success());
    let Some(version) = version else {
        return Err(format!("Node.js is missing; install {}.{} or later, with npm", NODE.0, NODE.1));
    };
    let text = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < NODE {
        return Err(format!("Node.js {text} is too old; install {}.{} or later", NODE.0, NODE.1));
    }
    match Command::new("npm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("npm is missing; it comes with Node.js".into()),
    }
}

/// Installs the packages of the lock file, when it is another than the one that was installed.
fn install() -> anyhow::Result<()> {
    let web = root().join("ui/web");
    let stamp = web.join("node_modules/.installed");
    let fresh = format!("{:016x}", fingerprint(&[web.join("package-lock.json")])?);
    if fs::read_to_string(&stamp).is_ok_and(|old| old == fresh) {
        return Ok(());
    }
    step("install the packages of the web UI", npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    fs::write(&stamp, fresh).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Chromium; where it is missing and may be installed without asking anybody, it is.
fn browser() -> Option<PathBuf> {
    let find = || {
        env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.exists()).or_else(|| {
            let folders = env::var_os("PATH")?;
            env::split_paths(&folders)
                .flat_map(|folder| BROWSERS.map(|name| folder.join(name)))
                .find(|path| path.is_file())
        })
    };
    if let Some(found) = find() {
        return Some(found);
    }
    // Only where this process is root already, as in a container for tests.
    let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if root && Path::new("/usr/bin/apt-get").exists() {
        let mut install = Command::new("/usr/bin/apt-get");
        install.args(["install", "-y", "-qq", "chromium"]).env("DEBIAN_FRONTEND", "noninteractive");
        if step("install Chromium", install).is_ok() {
            return find();
        }
    }
    None
}

fn npm(arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(root().join("ui/web"));
    command
}

/// What `ui/dist` is made of, in a fixed order.
fn sources() -> anyhow::Result<Vec<PathBuf>> {
    let web = root().join("ui/web");
    let mut files = vec![root().join("docs/openapi.json")];
    let mut folders = vec![web.clone(), web.join("src"), web.join("public")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if folder != web {
                    folders.push(path);
                }
            } else if !name.ends_with(".test.ts") && name != "schema.d.ts" {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

fn fingerprint(files: &[PathBuf]) -> anyhow::Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file).with_context(|| format!("cannot read {}", file.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}
