//! Why an operation was refused, in the terms of Close (wire/agent.proto).

use std::fmt::Display;

use caisson_wire::Close;
use nix::errno::Errno;

#[derive(Debug)]
pub struct Refusal {
    code: &'static str,
    message: String,
}

pub type Outcome<T> = Result<T, Refusal>;

impl Refusal {
    fn new(code: &'static str, message: impl Display) -> Self {
        Refusal { code, message: message.to_string() }
    }
    pub fn not_found(message: impl Display) -> Self {
        Self::new("not_found", message)
    }
    pub fn no_user(message: impl Display) -> Self {
        Self::new("no_user", message)
    }
    pub fn exists(message: impl Display) -> Self {
        Self::new("exists", message)
    }
    pub fn is_directory(message: impl Display) -> Self {
        Self::new("is_directory", message)
    }
    pub fn invalid(message: impl Display) -> Self {
        Self::new("invalid", message)
    }
    pub fn too_large(message: impl Display) -> Self {
        Self::new("too_large", message)
    }
    pub fn special_file(message: impl Display) -> Self {
        Self::new("special_file", message)
    }
    pub fn busy(message: impl Display) -> Self {
        Self::new("busy", message)
    }
    pub fn unsupported(message: impl Display) -> Self {
        Self::new("unsupported", message)
    }
    pub fn taken_over() -> Self {
        Self::new("taken_over", "another stream attached to the process")
    }
    pub fn cancelled() -> Self {
        Self::new("cancelled", "the host closed the stream")
    }
    pub fn failed(message: impl Display) -> Self {
        Self::new("failed", message)
    }

    /// A refusal by the kernel; `doing` names what was tried, and on what.
    pub fn os(doing: impl Display, errno: Errno) -> Self {
        Self::new(code_of(errno), format_args!("{doing}: {}", errno.desc()))
    }

    pub fn io(doing: impl Display, error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Self::os(doing, Errno::from_raw(number)),
            None => Self::failed(format_args!("{doing}: {error}")),
        }
    }

    pub fn is_denied(&self) -> bool {
        self.code == "denied"
    }

    pub fn is_not_found(&self) -> bool {
        self.code == "not_found"
    }
}

impl From<Refusal> for Close {
    fn from(refusal: Refusal) -> Close {
        let mut message = refusal.message;
        // Paths and names arrive in frames of bounded size; this bounds what is quoted back.
        if let Some((cut, _)) = message.char_indices().nth(1024) {
            message.truncate(cut);
        }
        Close { code: refusal.code.to_owned(), message }
    }
}

fn code_of(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT | Errno::ESRCH => "not_found",
        Errno::EACCES | Errno::EPERM | Errno::EROFS => "denied",
        Errno::EEXIST | Errno::ENOTEMPTY => "exists",
        Errno::ENOTDIR => "not_directory",
        Errno::EISDIR => "is_directory",
        Errno::EINVAL | Errno::ENAMETOOLONG | Errno::ELOOP | Errno::ENOEXEC => "invalid",
        Errno::EFBIG | Errno::E2BIG | Errno::ERANGE => "too_large",
        Errno::ENOSPC | Errno::EDQUOT => "no_space",
        Errno::ENXIO | Errno::ENODEV => "special_file",
        Errno::EBUSY | Errno::ETXTBSY | Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => "busy",
        Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EXDEV => "unsupported",
        Errno::ECONNREFUSED => "refused",
        _ => "failed",
    }
}

/// `result.or_refuse(|| "open /x")`
pub trait OrRefuse<T> {
    fn or_refuse<D: Display>(self, doing: impl FnOnce() -> D) -> Outcome<T>;
}

impl<T> OrRefuse<T> for Result<T, Errno> {
    fn or_refuse<D: Display>(self, doing: impl FnOnce() -> D) -> Outcome<T> {
        self.map_err(|errno| Refusal::os(doing(), errno))
    }
}

impl<T> OrRefuse<T> for std::io::Result<T> {
    fn or_refuse<D: Display>(self, doing: impl FnOnce() -> D) -> Outcome<T> {
        self.map_err(|error| Refusal::io(doing(), &error))
    }
}
