//! What the images `vampio/sava-cart` run: the store front, on every address of its pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    sava::image::cart()
}
