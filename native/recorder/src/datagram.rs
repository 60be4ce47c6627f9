//! One message to a local socket.

use std::io::Result;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Never blocks: a full queue is an error, and the sender retries. An empty text is not sent.
pub fn send(path: &Path, text: &str) -> Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    if text.is_empty() { Ok(()) } else { socket.send(text.as_bytes()).map(|_| ()) }
}
