//! Makes the messages and both ends of the stream from the protocol's description, without a `protoc` on the machine.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/vamp/agent/v1/agent.proto";
    println!("cargo::rerun-if-changed={file}");
    let description = protox::compile([file], ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(description)?;
    Ok(())
}
