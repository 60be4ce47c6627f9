//! Paths as given by the host.

use crate::refusal::{Outcome, Refusal};

/// PATH_MAX, less the NUL.
const MAX_BYTES: usize = 4095;

/// Absolute, or relative to `home` (also after "~/"). Removes doubled slashes and "."; keeps "..", whose meaning
/// depends on links.
pub fn resolve(path: &str, home: &str) -> Outcome<String> {
    if path.is_empty() || path.contains('\0') {
        return Err(Refusal::invalid("a path is not empty and holds no NUL"));
    }
    let from_home = if path == "~" { Some("") } else { path.strip_prefix("~/") };
    let whole = match from_home {
        Some(rest) => format!("{home}/{rest}"),
        None if path.starts_with('/') => path.to_owned(),
        None => format!("{home}/{path}"),
    };
    let mut plain = String::with_capacity(whole.len());
    for part in whole.split('/').filter(|part| !part.is_empty() && *part != ".") {
        plain.push('/');
        plain.push_str(part);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    if plain.len() > MAX_BYTES {
        return Err(Refusal::invalid(format_args!("a path of more than {MAX_BYTES} bytes")));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn paths_start_at_the_root_or_at_home() {
        for (path, expected) in [
            ("/a/b", "/a/b"),
            ("a//./b/", "/home/user/a/b"),
            ("~/a", "/home/user/a"),
            ("~", "/home/user"),
            ("~other", "/home/user/~other"),
            (".", "/home/user"),
            ("/", "/"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(resolve(path, "/home/user").unwrap(), expected, "{path}");
        }
        for bad in ["", "a\0b", &"x/".repeat(3000)] {
            assert!(resolve(bad, "/home/user").is_err());
        }
    }
}
