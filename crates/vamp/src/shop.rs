//! The sava shop's services, built in so that the local platform can run their images.

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command};

/// The command of one service.
pub(crate) fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .arg(Arg::new("version").long("version").value_name("VERSION").help("The version that it is"))
        .arg(Arg::new("listen").long("listen").value_name("ADDRESS:PORT").help("Where it listens"))
}

/// Runs a service until SIGTERM.
pub(crate) fn run(name: &str, given: &ArgMatches) -> anyhow::Result<()> {
    let argument = |name: &str| given.get_one::<String>(name).map(String::as_str);
    let (version, listen) = (argument("version"), argument("listen"));
    let variable = |name: &str| std::env::var(name).ok();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime")?;
    runtime.block_on(async {
        match name {
            "sava-product" => {
                sava::product::serve(sava::product::Settings::read(version, listen, &variable)?).await?;
            }
            _ => sava::cart::serve(sava::cart::Settings::read(version, listen, &variable)?).await?,
        }
        Ok(())
    })
}
