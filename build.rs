//! Compiles the protobuf form of the protocol; no `protoc` is needed.

use std::error::Error;

const PACKAGE: [&str; 3] = [
    "livedraft/v1/job.proto",
    "livedraft/v1/client.proto",
    "livedraft/v1/server.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto/livedraft");
    let descriptors = protox::compile(PACKAGE, ["proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
