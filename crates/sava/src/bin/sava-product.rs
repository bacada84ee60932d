//! What the images `vampio/sava-product` run: the product service, on every address of its pod.

use std::process::ExitCode;

fn main() -> ExitCode {
    sava::image::product()
}
