//! What went wrong, at which step, and what a person can do about it. Each step in order.rs has its own errors; none is
//! a mere warning.

use std::fmt;

/// The codes of wire/errors.ts that a keeper may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    PlanInvalid,
    LaunchFailed,
    LimitUnavailable,
    WallUnavailable,
    MountUnreadable,
}

#[derive(Debug)]
pub struct Fault {
    pub code: Code,
    pub step: &'static str,
    pub message: String,
    pub hint: String,
}

pub type Outcome<T> = Result<T, Fault>;

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.step, self.message)
    }
}

impl Fault {
    pub fn new(code: Code, step: &'static str, message: impl Into<String>) -> Self {
        Fault { code, step, message: message.into(), hint: hint(code).to_string() }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

fn hint(code: Code) -> &'static str {
    match code {
        Code::PlanInvalid => "Caisson makes plans; `caisson run --dry-run` prints one.",
        Code::LaunchFailed => "`caisson doctor` tries every step and names the fix.",
        Code::LimitUnavailable => {
            "Run as root, delegate a cgroup (see `caisson doctor`), or lift the limit explicitly (`--memory none`)."
        }
        Code::WallUnavailable => "`caisson doctor` names the command that fixes it.",
        Code::MountUnreadable => "Name an existing folder that you may read.",
    }
}

/// Turns an OS error into a Fault that names the step and what was attempted.
pub trait At<T> {
    fn at(self, step: &'static str, what: impl fmt::Display) -> Outcome<T>;
    fn coded(self, code: Code, step: &'static str, what: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> At<T> for Result<T, E> {
    fn at(self, step: &'static str, what: impl fmt::Display) -> Outcome<T> {
        self.coded(Code::LaunchFailed, step, what)
    }

    fn coded(self, code: Code, step: &'static str, what: impl fmt::Display) -> Outcome<T> {
        self.map_err(|error| Fault::new(code, step, format!("{what}: {error}")))
    }
}
