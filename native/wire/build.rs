//! Generates the frames from wire/agent.proto with a compiler written in Rust, so that no protoc is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wire");
    println!("cargo:rerun-if-changed={folder}/agent.proto");
    let files = protox::compile(["agent.proto"], [folder])?;
    prost_build::Config::new().compile_fds(files)?;
    Ok(())
}
