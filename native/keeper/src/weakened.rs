//! A wall with one step left out, to show that the attacks notice. Only in a keeper that was built for that (Cargo.toml): in any other, no step can be left
//! out, and nothing is read that could say so.

/// What can be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    SystemCalls,
    Capabilities,
    Masks,
    ReadOnlySwitches,
    Network,
    HostFiles,
}

#[cfg(not(feature = "weakened"))]
pub const fn is_without(_: Step) -> bool {
    false
}

#[cfg(feature = "weakened")]
pub fn is_without(step: Step) -> bool {
    chosen() == Some(step)
}

/// Once, before the first process has another root.
#[cfg(feature = "weakened")]
pub fn chosen() -> Option<Step> {
    static CHOSEN: std::sync::OnceLock<Option<Step>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let path = std::env::current_exe().ok()?.with_file_name("without");
        match std::fs::read_to_string(path).ok()?.trim() {
            "system calls" => Some(Step::SystemCalls),
            "capabilities" => Some(Step::Capabilities),
            "masks" => Some(Step::Masks),
            "read-only switches" => Some(Step::ReadOnlySwitches),
            "network" => Some(Step::Network),
            "host files" => Some(Step::HostFiles),
            _ => None,
        }
    })
}
