//! Leaves out steps of a wall, to show that the attacks notice. Only in a keeper built for that (Cargo.toml): in any
//! other, no step can be left out, and no input for it is read.

/// The steps that can be left out.
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
    /// The agent runs instead of the engine: on the host's kernel, with the engine's inputs and behind the walls around
    /// the engine.
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

/// Read once, before the first process changes its root. Names are separated by commas.
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
