//! What the keeper says of the machine, in the first message (native/keeper/src/machine/describe.rs).

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Machine {
    pub host_name: String,
    /// Since 1970.
    pub now_ns: u64,
    /// Chance of the host's, for this machine alone: bytes in hexadecimal digits.
    pub seed: String,
    /// What the kernel says of its boot, and the address of its card, six pairs of digits; None: as they were.
    pub boot_id: Option<String>,
    pub hardware_address: Option<String>,
    /// Of all that runs inside.
    pub memory_bytes: u64,
    pub processes: Option<u64>,
    /// Whether what is executed is told.
    pub commands: bool,
    /// Whether there is a way out.
    pub network: bool,
    pub writable: Vec<Writable>,
    pub files: Vec<SmallFile>,
    /// What root inside may do.
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
