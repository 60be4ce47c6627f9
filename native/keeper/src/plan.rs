//! The plan, as in wire/plan.ts. Unknown fields are refused: a field that is not understood would be a wall that is not
//! built.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

use crate::bind::is_plain;
pub use crate::bind::{Bind, Mode, Owner, Shield, ShieldKind};
use crate::engine::{self, Engine};
use crate::fault::{Code, Fault, Outcome};
use crate::machine::Machine;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "some fields speak to people or have one value only; they are read so that others are refused"
)]
pub struct Plan {
    pub version: u32,
    pub id: String,
    pub kind: Kind,
    pub wall: Wall,
    pub engine: Option<Engine>,
    pub machine: Option<Machine>,
    pub template: String,
    pub profile: String,
    pub leash: Leash,
    pub dir: String,
    pub death_record: String,
    pub agent: String,
    pub binds: Vec<Bind>,
    pub symlinks: Vec<Symlink>,
    pub root: Root,
    pub files: Vec<SmallFile>,
    pub writable: Vec<Writable>,
    pub disk: Disk,
    pub host_name: String,
    pub user: User,
    #[serde(default)]
    pub cwd: Option<String>,
    pub network: Network,
    pub limits: Limits,
    pub capabilities: Vec<String>,
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub audit: Audit,
    pub zygote: Option<ZygoteClient>,
    pub serve: Option<Serve>,
    #[serde(default)]
    pub health_port: Option<NonZeroU16>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Sandbox,
    Zygote,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Wall {
    Container,
    Gvisor,
    Microvm,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Leash {
    Host,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    pub path: String,
    pub to: String,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Root {
    ReadOnly {},
    Overlay { ground: String, usr: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmallFile {
    pub path: String,
    pub content: String,
    pub mode: u32,
    pub mark: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writable {
    pub target: String,
    pub owner: Owner,
    pub mode: u32,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Disk {
    Image {
        image: String,
        take: bool,
        #[serde(default)]
        returns: bool,
        bytes: u64,
        #[expect(dead_code, reason = "the image was formatted for it")]
        inodes: u64,
    },
    Tmpfs {
        bytes: u64,
        inodes: u64,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

#[derive(Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum Network {
    None {},
    #[serde(rename_all = "camelCase")]
    Gate {
        airlock: String,
        inspect: String,
        max_connections: u32,
        bytes_per_second: Option<u64>,
        idle_ms: u64,
        #[expect(dead_code, reason = "for people who read the plan: the host judges by it")]
        policy: serde::de::IgnoredAny,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    pub wall_ms: Option<u64>,
    pub on_wall: OnWall,
    pub memory_bytes: Option<u64>,
    pub cpu_milli: Option<u64>,
    pub pids: Option<u64>,
    pub open_files: u64,
    #[expect(dead_code, reason = "counted by the host, which reads the output; the keeper ends the sandbox when told")]
    pub output_bytes: Option<u64>,
    pub on_hit: OnHit,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnWall {
    End,
    Freeze,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnHit {
    End,
    Report,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seccomp {
    #[expect(dead_code, reason = "there is one")]
    pub profile: SeccompProfile,
    pub allow_user_namespaces: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompProfile {
    Default,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Audit {
    pub log: String,
    pub commands: bool,
    pub max_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZygoteClient {
    pub socket: String,
    pub forks: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Serve {
    pub socket: String,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub idle_ms: u64,
}

impl Plan {
    /// Whether the host's kernel asks before each exec inside. In a machine, the machine's own kernel asks the agent.
    pub fn asks_before_exec(&self) -> bool {
        self.audit.commands && self.kind == Kind::Sandbox && self.machine.is_none()
    }

    /// Reads one line of JSON. The host has validated it; this checks again whatever could let a wrong plan weaken the
    /// wall.
    pub fn parse(line: &str) -> Outcome<Plan> {
        let invalid = |message: String| Fault::new(Code::PlanInvalid, "plan", message);
        let plan: Plan = serde_json::from_str(line).map_err(|error| invalid(error.to_string()))?;
        if plan.version != 1 {
            return Err(invalid(format!("version {} is not 1", plan.version)));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if plan.id.is_empty() || plan.id.len() > 32 || !plan.id.bytes().all(plain) {
            return Err(invalid("id must be 1 to 32 of a-z0-9".into()));
        }
        if plan.user.uid == 0 || plan.user.uid >= 65534 || plan.user.gid == 0 || plan.user.gid >= 65534 {
            return Err(invalid("user.uid and user.gid must be between 1 and 65533".into()));
        }
        let targets = plan.binds.iter().map(|bind| &bind.target);
        let targets = targets.chain(plan.writable.iter().map(|writable| &writable.target));
        let targets = targets.chain(plan.files.iter().map(|file| &file.path));
        for path in targets.chain(plan.symlinks.iter().map(|link| &link.path)) {
            if !path.strip_prefix('/').is_some_and(is_plain) {
                return Err(invalid(format!("{path:?} is not a plain absolute path")));
            }
        }
        if let Some(wrong) = plan.binds.iter().find_map(Bind::wrong_shield) {
            return Err(invalid(format!("shields: {wrong:?} is not a plain relative path")));
        }
        if (plan.kind == Kind::Zygote) != plan.serve.is_some() {
            return Err(invalid("`serve` belongs to kind zygote, and only to it".into()));
        }
        if let Network::Gate { max_connections, bytes_per_second, idle_ms, .. } = &plan.network {
            // A machine has a network card in its state, and its mother has no way out.
            if plan.kind == Kind::Zygote && plan.machine.is_none() {
                return Err(invalid("a zygote has no network".into()));
            }
            if !(1..=4096).contains(max_connections) || *bytes_per_second == Some(0) || *idle_ms == 0 {
                return Err(invalid(
                    "network: maxConnections is 1 to 4096, bytesPerSecond and idleMs are above 0".into(),
                ));
            }
            // With either capability, code inside could take the gate's place.
            if plan.capabilities.iter().any(|name| name == "NET_ADMIN" || name == "NET_RAW") {
                return Err(invalid("capabilities NET_ADMIN and NET_RAW contradict the gate".into()));
            }
        }
        if let Disk::Image { take: false, returns: true, .. } = plan.disk {
            return Err(invalid("disk: one that was not taken has no place to return to".into()));
        }
        engine::refuse(&plan)?;
        if let Root::Overlay { .. } = plan.root {
            if plan.kind == Kind::Zygote || !matches!(plan.disk, Disk::Image { .. }) {
                return Err(invalid("root: an overlay needs a sandbox with a disk of kind image".into()));
            }
            if plan.binds.iter().any(|bind| matches!(bind.target.as_str(), "/usr" | "/etc")) {
                return Err(invalid("binds: /usr and /etc are the overlay's own".into()));
            }
            let in_etc = |path: &str| path.strip_prefix("/etc/").is_some_and(|name| !name.contains('/'));
            if !plan.files.iter().all(|file| in_etc(&file.path)) {
                return Err(invalid("files: with an overlay they lie directly in /etc".into()));
            }
        }
        if plan.kind == Kind::Zygote && plan.limits.on_wall == OnWall::Freeze {
            return Err(invalid("a zygote is not frozen".into()));
        }
        if plan.binds.iter().any(|bind| bind.setuid && bind.owned_by != Some(Owner::Root)) {
            return Err(invalid("setuid without ownedBy root would lend the rights of the host's users".into()));
        }
        if plan.no_new_privileges && plan.binds.iter().any(|bind| bind.setuid) {
            return Err(invalid("setuid contradicts noNewPrivileges".into()));
        }
        Ok(plan)
    }
}
