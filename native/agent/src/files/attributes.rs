//! Extended user attributes (xattr(7)), shown and accepted without their "user." prefix.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::refusal::{OrRefuse, Outcome, Refusal};

const PREFIX: &str = "user.";
/// XATTR_NAME_MAX, less the prefix.
const MAX_NAME_BYTES: usize = 250;
/// Names and values of one file. It limits what is shown, so that an entry always fits into a frame, and therefore also
/// what is accepted.
const MAX_BYTES: usize = 32 * 1024;

/// Encoding overhead of each attribute.
const FRAMING_BYTES: usize = 16;

/// Sorted by name, as many as fit; none if the file has none or they may not be read.
pub fn get(path: &Path) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return found };
    let mut list = vec![0u8; 1024];
    // SAFETY: the path ends in NUL; pointer and length are those of the buffer.
    let fill = |list: &mut Vec<u8>| unsafe { libc::listxattr(path.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    let mut length = fill(&mut list);
    if length == -1 && Errno::last() == Errno::ERANGE {
        // XATTR_LIST_MAX
        list.resize(64 * 1024, 0);
        length = fill(&mut list);
    }
    list.truncate(usize::try_from(length).unwrap_or(0));
    let mut names: Vec<&[u8]> = list.split_inclusive(|byte| *byte == 0).collect();
    names.sort_unstable();
    let mut left = MAX_BYTES;
    for name in names {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let Some(short) = name.to_str().ok().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let mut value = vec![0u8; left];
        // SAFETY: both strings end in NUL; pointer and length are those of the buffer.
        let length = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        let Ok(length) = usize::try_from(length) else { continue };
        let value = String::from_utf8_lossy(&value[..length]).into_owned();
        // Replacement characters may have made it longer.
        match left.checked_sub(short.len() + value.len() + FRAMING_BYTES) {
            Some(rest) => left = rest,
            None => break,
        }
        found.insert(short.to_owned(), value);
    }
    found
}

/// Adds these to the file's attributes.
pub fn set(path: &str, attributes: &HashMap<String, String>) -> Outcome<()> {
    let shown = path;
    let path = CString::new(path).map_err(|_| Refusal::invalid("a NUL in a path"))?;
    for (name, value) in checked(attributes)? {
        let (pointer, length) = (value.as_ptr().cast::<c_void>(), value.len());
        // SAFETY: both strings end in NUL; pointer and length are those of the value.
        let result = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), pointer, length, 0) };
        Errno::result(result).or_refuse(|| format!("{shown}: attribute {}", name.to_string_lossy()))?;
    }
    Ok(())
}

pub fn set_on(file: &File, attributes: &HashMap<String, String>) -> Outcome<()> {
    for (name, value) in checked(attributes)? {
        let (pointer, length) = (value.as_ptr().cast::<c_void>(), value.len());
        // SAFETY: the name ends in NUL; pointer and length are those of the value.
        let result = unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), pointer, length, 0) };
        Errno::result(result).or_refuse(|| format!("attribute {}", name.to_string_lossy()))?;
    }
    Ok(())
}

/// Removes everything that `get` would show.
pub fn clear(path: &Path, file: &File) {
    for name in get(path).into_keys() {
        let Ok(name) = CString::new(format!("{PREFIX}{name}")) else { continue };
        // SAFETY: the name ends in NUL. An attribute that cannot be removed stays, as with any other program that
        // writes the file.
        unsafe { libc::fremovexattr(file.as_raw_fd(), name.as_ptr()) };
    }
}

pub fn checked(attributes: &HashMap<String, String>) -> Outcome<Vec<(CString, &str)>> {
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + FRAMING_BYTES).sum();
    if bytes > MAX_BYTES {
        return Err(Refusal::too_large(format_args!("attributes of more than {MAX_BYTES} bytes")));
    }
    let name = |name: &str| {
        let fits = !name.is_empty() && name.len() <= MAX_NAME_BYTES;
        let full = CString::new(format!("{PREFIX}{name}")).ok().filter(|_| fits);
        full.ok_or_else(|| Refusal::invalid(format_args!("{name:?} is not a name for an attribute")))
    };
    attributes.iter().map(|(key, value)| Ok((name(key)?, value.as_str()))).collect()
}
