//! What a plan says of an engine, and what it may not say beside one.

use serde::Deserialize;

use super::warm::Warm;
use crate::fault::{Code, Fault, Outcome};
use crate::plan::{Kind, Plan, Root, Wall};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub program: String,
    #[expect(dead_code, reason = "for people, and for the audit")]
    pub version: String,
    pub platform: Platform,
    #[expect(dead_code, reason = "for the audit: the binds and files have it")]
    pub preload: Option<String>,
    pub warm: Option<Warm>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    Systrap,
    Ptrace,
    Kvm,
}

pub fn refuse(plan: &Plan) -> Outcome<()> {
    let invalid = |message: &str| Err(Fault::new(Code::PlanInvalid, "plan", message));
    if (plan.wall == Wall::Gvisor) != plan.engine.is_some() {
        return invalid("`engine` belongs to wall gvisor, and only to it");
    }
    if plan.engine.is_some() && !matches!(plan.root, Root::ReadOnly {}) {
        return invalid("root: behind wall gvisor it is read-only");
    }
    if plan.engine.is_some() && (plan.kind == Kind::Zygote || plan.zygote.is_some()) {
        return invalid("nothing is forked into another kernel: no zygote behind wall gvisor");
    }
    Ok(())
}
