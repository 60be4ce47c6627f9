//! The agent's wire protocol: frames generated from wire/agent.proto, their limits (wire/limits.ts), and the
//! length-prefixed encoding.

use prost::Message;

#[allow(clippy::all)]
mod frames;
pub use frames::*;

pub const MAX_FRAME_BYTES: usize = 256 * 1024;
pub const MAX_DATA_BYTES: usize = 128 * 1024;
pub const INITIAL_WINDOW_BYTES: usize = 1024 * 1024;
pub const MAX_STREAMS: usize = 1024;
pub const AGENT_GENERATION: u32 = 1;

/// Why a byte stream is not a sequence of frames. The stream cannot continue after one.
#[derive(Debug, PartialEq, Eq)]
pub enum Violation {
    TooLarge(usize),
    Malformed,
}

/// Appends one frame with its length prefix.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    let length = frame.encoded_len();
    debug_assert!(length <= MAX_FRAME_BYTES);
    out.extend_from_slice(&u32::to_le_bytes(length as u32));
    frame.encode(out).expect("a Vec grows");
}

/// Takes the first whole frame off `input`. Returns the frame and its length in bytes, or None when more bytes are
/// needed. The length is checked before anything is kept, so a false one costs at most MAX_FRAME_BYTES.
pub fn decode(input: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
    let Some(prefix) = input.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(Violation::TooLarge(length));
    }
    let Some(body) = input.get(4..4 + length) else { return Ok(None) };
    let frame = Frame::decode(body).map_err(|_| Violation::Malformed)?;
    Ok(Some((frame, 4 + length)))
}
