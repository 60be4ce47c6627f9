//! The keeper's first message: the description of the machine (native/keeper/src/machine/describe.rs).

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Machine {
    pub host_name: String,
    /// Since 1970.
    pub now_ns: u64,
    /// Random bytes from the host for this machine alone, in hexadecimal.
    pub seed: String,
    /// The kernel's boot id, and the MAC address of the network card, as six pairs of hexadecimal digits; None:
    /// unchanged.
    pub boot_id: Option<String>,
    pub hardware_address: Option<String>,
    /// For everything that runs inside.
    pub memory_bytes: u64,
    pub processes: Option<u64>,
    /// Whether execs are reported.
    pub commands: bool,
    /// Whether there is a network.
    pub network: bool,
    pub writable: Vec<Writable>,
    pub files: Vec<SmallFile>,
    /// Capabilities of root inside.
    pub capabilities: Vec<u8>,
}

/// A folder of the machine's disk.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writable {
    pub target: String,
    pub uid: u32,
    pub gid: u32,
    pub mode: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallFile {
    pub path: String,
    pub content: String,
    pub mode: u32,
}
