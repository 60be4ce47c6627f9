//! A wall with steps left out, to show that the attacks notice. Only in a keeper that was built for that (Cargo.toml): in any other, no step can be left
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
    OwnIds,
    CoreLimit,
    SetUid,
    NoNewPrivileges,
    Landlock,
    UnwritableRoot,
    /// What runs in its place is the agent that would have run behind it: on the host's kernel, with what the engine is given and within its walls.
    Engine,
}

#[cfg(not(feature = "weakened"))]
pub const fn is_without(_: Step) -> bool {
    false
}

#[cfg(feature = "weakened")]
pub fn is_without(step: Step) -> bool {
    chosen().contains(&step)
}

#[cfg(feature = "weakened")]
const NAMES: [(&str, Step); 13] = [
    ("system calls", Step::SystemCalls),
    ("capabilities", Step::Capabilities),
    ("masks", Step::Masks),
    ("read-only switches", Step::ReadOnlySwitches),
    ("network", Step::Network),
    ("host files", Step::HostFiles),
    ("own ids", Step::OwnIds),
    ("core limit", Step::CoreLimit),
    ("set-uid files", Step::SetUid),
    ("new privileges", Step::NoNewPrivileges),
    ("landlock", Step::Landlock),
    ("unwritable root", Step::UnwritableRoot),
    ("engine", Step::Engine),
];

/// Once, before the first process has another root. Names are separated by commas.
#[cfg(feature = "weakened")]
pub fn chosen() -> &'static [Step] {
    static CHOSEN: std::sync::OnceLock<Vec<Step>> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| {
        let path = std::env::current_exe().ok().map(|program| program.with_file_name("without"));
        let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let named = |one: &str| NAMES.into_iter().find(|(name, _)| *name == one.trim());
        text.split(',').filter_map(named).map(|(_, step)| step).collect()
    })
}
