//! What a plan says about an engine, and what it may not combine with one.

use serde::Deserialize;

use super::warm::Warm;
use crate::fault::{Code, Fault, Outcome};
use crate::machine::Vmm;
use crate::plan::{Disk, Kind, Plan, Root, Wall};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub program: String,
    #[expect(dead_code, reason = "for people, and for the audit")]
    pub version: String,
    pub platform: Platform,
    #[expect(dead_code, reason = "for the audit: the binds and files have it")]
    pub preload: Option<String>,
    /// It reports what runs behind it.
    #[serde(default)]
    traces: bool,
    pub warm: Option<Warm>,
}

impl Engine {
    /// Whether the audit log relies on the engine's reports.
    pub fn is_traced(&self, plan: &Plan) -> bool {
        self.traces && plan.audit.commands
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Systrap,
    Ptrace,
    Kvm,
    Tcg,
}

pub fn refuse(plan: &Plan) -> Outcome<()> {
    let invalid = |message: &str| Err(Fault::new(Code::PlanInvalid, "plan", message));
    if (plan.wall == Wall::Container) == plan.engine.is_some() {
        return invalid("`engine` belongs to walls gvisor and microvm, and only to them");
    }
    if (plan.wall == Wall::Microvm) != plan.machine.is_some() {
        return invalid("`machine` belongs to wall microvm, and only to it");
    }
    let emulated = plan.engine.as_ref().is_some_and(|engine| engine.platform == Platform::Tcg);
    if emulated && plan.wall != Wall::Microvm {
        return invalid("engine: platform tcg belongs to wall microvm");
    }
    let silent = plan.engine.as_ref().is_some_and(|engine| !engine.traces);
    if plan.wall == Wall::Gvisor && plan.audit.commands && silent {
        return invalid("audit.commands: this engine does not say what runs behind it");
    }
    if plan.machine.is_some() {
        refuse_for_machine(plan)?;
    }
    if plan.engine.is_some() && !matches!(plan.root, Root::ReadOnly {}) {
        return invalid("root: behind an engine it is read-only");
    }
    if plan.engine.is_some() && (plan.kind == Kind::Zygote && plan.machine.is_none() || plan.zygote.is_some()) {
        return invalid("nothing is forked into another kernel: no zygote behind an engine");
    }
    if (plan.is_mother() || plan.mother().is_some()) && !is_forked(plan) {
        return invalid("engine: what is forked is a machine that QEMU emulates, restored from a state");
    }
    Ok(())
}

/// A mother (a machine that others are forked from), or one of its twins.
fn is_forked(plan: &Plan) -> bool {
    let (Some(machine), Some(engine)) = (&plan.machine, &plan.engine) else { return false };
    let restored = match &engine.warm {
        Some(Warm::Restore { mother, .. }) => plan.is_mother() == mother.is_none(),
        _ => false,
    };
    restored
        && machine.vmm == Vmm::Qemu
        && engine.platform == Platform::Tcg
        && machine.twins.is_some() == plan.is_mother()
}

/// A machine sees only its images and its disk, and its size is fixed.
fn refuse_for_machine(plan: &Plan) -> Outcome<()> {
    let invalid = |message: &str| Err(Fault::new(Code::PlanInvalid, "plan", message));
    if !plan.binds.is_empty() || !plan.symlinks.is_empty() {
        return invalid("binds and symlinks: a machine is shown nothing of the host");
    }
    if !matches!(plan.disk, Disk::Image { .. }) {
        return invalid("disk: a machine needs one of kind image");
    }
    let (Some(limit), Some(machine)) = (plan.limits.memory_bytes, &plan.machine) else {
        return invalid("limits.memoryBytes: a machine has a size");
    };
    if machine.memory_bytes < limit || machine.cpus == 0 {
        return invalid("machine: smaller than the limits of what runs in it");
    }
    let fits = |engine: &Engine| engine.platform == Platform::Kvm && engine.warm.is_none();
    if machine.vmm == Vmm::Firecracker && !plan.engine.as_ref().is_some_and(fits) {
        return invalid("engine: Firecracker starts machines by kvm, and from nothing");
    }
    Ok(())
}
