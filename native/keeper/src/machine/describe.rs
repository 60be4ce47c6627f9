//! What a machine's agent must know before there is a sandbox (native/agent/src/vm/machine.rs).

use std::fs::File;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::STEP;
use crate::boot_id;
use crate::caps;
use crate::fault::{At, Outcome};
use crate::plan::{Network, Owner, Plan};

const SEED_BYTES: usize = 64;

/// `wakes`: it keeps its identity, because it has only been asleep.
pub fn describe(plan: &Plan, wakes: bool) -> Outcome<Value> {
    let (mut seed, mut card) = ([0u8; SEED_BYTES], [0u8; 6]);
    let drawn = File::open("/dev/urandom")
        .and_then(|mut chance| chance.read_exact(&mut seed).and_then(|()| chance.read_exact(&mut card)));
    drawn.at(STEP, "/dev/urandom")?;
    let seed: String = seed.iter().map(|byte| format!("{byte:02x}")).collect();
    let writable: Vec<Value> = plan
        .writable
        .iter()
        .map(|folder| {
            let (uid, gid) = if folder.owner == Owner::Root { (0, 0) } else { (plan.user.uid, plan.user.gid) };
            json!({ "target": folder.target, "uid": uid, "gid": gid, "mode": folder.mode })
        })
        .collect();
    let files: Vec<Value> = plan
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "content": file.content, "mode": file.mode }))
        .collect();
    let set = caps::set_of(plan.capabilities.iter().map(String::as_str))?;
    let capabilities: Vec<u8> = (0..64).filter(|number| set >> number & 1 == 1).collect();
    Ok(json!({
        "hostName": plan.host_name,
        "nowNs": now_ns()?,
        "seed": seed,
        "bootId": if wakes { None } else { Some(boot_id::fresh()?.trim_end().to_owned()) },
        "hardwareAddress": (!wakes).then(|| hardware_address(card)),
        "memoryBytes": plan.limits.memory_bytes.unwrap_or(0),
        "processes": plan.limits.pids,
        "commands": plan.audit.commands,
        "network": matches!(plan.network, Network::Gate { .. }),
        "writable": writable,
        "files": files,
        "capabilities": capabilities,
    }))
}

/// Locally administered, and unicast (IEEE 802).
fn hardware_address(mut bytes: [u8; 6]) -> String {
    bytes[0] = bytes[0] & 0xFC | 2;
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

/// Nanoseconds since 1970.
pub fn now_ns() -> Outcome<u64> {
    SystemTime::now().duration_since(UNIX_EPOCH).at(STEP, "the time").map(|now| now.as_nanos() as u64)
}
