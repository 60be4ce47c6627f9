//! The engine's configuration in the format of the Open Container Initiative (config.json).

use serde_json::{Value, json};

use super::warm::NAMING;
use super::{CAPABILITIES, ROOT};
use crate::plan::{Bind, Mode, Plan};
use crate::weakened::{Step, is_without};

/// Per process; the agent gives each command a lower limit.
const OPEN_FILES: u64 = 1_048_576;
/// The size where a file system gets no explicit limit.
const SHM_BYTES: u64 = 1 << 30;

/// Paths are relative to the engine's own root.
pub fn specification(plan: &Plan) -> Value {
    let naming = plan.engine.iter().filter(|engine| engine.warm.is_some()).flat_map(|_| NAMING);
    let names = plan.capabilities.iter().map(String::as_str).chain(naming);
    let of_the_engine = CAPABILITIES.into_iter().filter(|_| is_without(Step::Capabilities));
    let capabilities: Vec<String> = names.chain(of_the_engine).map(|name| format!("CAP_{name}")).collect();
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs", "options": [
            "nosuid", "nodev", "noexec", "mode=1777", format!("size={}", plan.limits.memory_bytes.unwrap_or(SHM_BYTES)),
        ] }),
    ];
    let mut annotations = serde_json::Map::new();
    // Parents before children, the order of the plan's binds.
    let mut folders: Vec<Folder> = plan.writable.iter().map(|writable| Folder::own(&writable.target)).collect();
    folders.extend(plan.binds.iter().filter(|bind| bind.live || bind.mode == Mode::Rw).map(Folder::host));
    folders.sort_by(|one, other| one.path.cmp(other.path));
    for (number, Folder { path, writable, live }) in folders.into_iter().enumerate() {
        let source = format!("/{ROOT}{path}");
        mounts.push(json!({ "destination": path, "type": "bind", "source": source, "options": [
            "rbind", "nosuid", "nodev", if writable { "rw" } else { "ro" },
        ] }));
        if !live {
            // Nobody else writes there, so the engine may cache what it has read.
            let hint = |name: &str| format!("dev.gvisor.spec.mount.own{number}.{name}");
            for (name, value) in [("type", "bind"), ("share", "container"), ("source", source.as_str())] {
                annotations.insert(hint(name), value.into());
            }
        }
    }
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/caisson/agent", "leash"],
            "env": [],
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "soft": OPEN_FILES, "hard": OPEN_FILES },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
            ],
            "noNewPrivileges": true,
        },
        "root": { "path": format!("/{ROOT}"), "readonly": !is_without(Step::UnwritableRoot) },
        "hostname": plan.host_name,
        "mounts": mounts,
        "annotations": annotations,
        "linux": { "namespaces": namespaces },
    })
}

/// A part of the tree that differs from the read-only root.
struct Folder<'a> {
    path: &'a str,
    writable: bool,
    /// The host may change it meanwhile.
    live: bool,
}

impl<'a> Folder<'a> {
    fn own(path: &'a str) -> Folder<'a> {
        Folder { path, writable: true, live: false }
    }

    fn host(bind: &'a Bind) -> Folder<'a> {
        Folder { path: &bind.target, writable: bind.mode == Mode::Rw, live: true }
    }
}
