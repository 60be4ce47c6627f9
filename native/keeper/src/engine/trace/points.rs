//! gVisor's trace points as its sink `remote` sends them: a header of at least eight bytes, then a message
//! (pkg/sentry/seccheck/points of its source). They come from a kernel that holds the sandbox and that the sandbox may
//! have taken over. Malformed input is refused, long input is cut.

use super::fields::{Fields, Value};

const MAX_PATH: usize = 4096;
/// The same limit as behind the wall `container`, so that the records look alike (execs.rs).
const MAX_ARGS: usize = 256;
const MAX_ARGS_BYTES: usize = 8192;
const MAX_VARIABLES: usize = 512;
const MAX_VARIABLES_BYTES: usize = 65_536;
/// No kernel has larger process numbers.
const MAX_NUMBER: u64 = 4_194_304;

pub struct Message<'a> {
    /// How many messages the engine has dropped since it began.
    pub dropped: u32,
    pub point: Point<'a>,
}

pub enum Point<'a> {
    /// The first process of the sandbox.
    Started(Words<'a>),
    /// A new thread; it belongs to a new process where its `group` is not that of `by`.
    Cloned { by: u32, thread: u32, group: u32 },
    /// The entry of execve. Reported for every call, whatever its arguments are.
    Asked(Task),
    /// The new program starts.
    Runs(Task, Words<'a>),
    /// The exit of execve: success, or an error.
    Answered(Task, Result<(), u64>),
    /// Irrelevant, or too long to be read.
    Other,
}

#[derive(Clone, Copy)]
pub struct Task {
    pub thread: u32,
    /// The process number inside.
    pub group: u32,
    pub uid: u32,
}

#[derive(Default)]
pub struct Words<'a> {
    pub path: &'a [u8],
    pub argv: Vec<&'a [u8]>,
    pub variables: Vec<&'a [u8]>,
    /// There was more.
    pub truncated: bool,
}

/// `whole`: false if `bytes` is only the beginning of a longer message.
pub fn read(bytes: &[u8], whole: bool) -> Result<Message<'_>, &'static str> {
    let Some(&[s0, s1, t0, t1, d0, d1, d2, d3]) = bytes.first_chunk::<8>() else { return Err("no header") };
    let size = usize::from(u16::from_le_bytes([s0, s1]));
    let body = bytes.get(size.max(8)..).filter(|_| size >= 8).ok_or("a header of another size than it has")?;
    let point = match u16::from_le_bytes([t0, t1]) {
        _ if !whole => Point::Other,
        1 => Point::Started(words(body, [0, 4, 5])?),
        2 => cloned(body)?,
        3 => Point::Runs(task(body)?, words(body, [2, 3, 4])?),
        6 => called(body)?,
        _ => Point::Other,
    };
    Ok(Message { dropped: u32::from_le_bytes([d0, d1, d2, d3]), point })
}

/// The field numbers of path, arguments and variables.
fn words<'a>(body: &'a [u8], [path, arguments, variables]: [u64; 3]) -> Result<Words<'a>, &'static str> {
    let mut words = Words::default();
    let mut room = (MAX_ARGS_BYTES, MAX_VARIABLES_BYTES);
    for field in Fields(body) {
        let (number, Value::Bytes(bytes)) = field? else { continue };
        if number == path {
            words.path = &bytes[..bytes.len().min(MAX_PATH)];
            words.truncated |= bytes.len() > MAX_PATH;
        } else if number == arguments {
            words.truncated |= !keep(&mut words.argv, bytes, MAX_ARGS, &mut room.0);
        } else if number == variables {
            keep(&mut words.variables, bytes, MAX_VARIABLES, &mut room.1);
        }
    }
    Ok(words)
}

/// False if not everything was kept.
fn keep<'a>(kept: &mut Vec<&'a [u8]>, bytes: &'a [u8], most: usize, room: &mut usize) -> bool {
    if kept.len() == most || *room == 0 {
        return false;
    }
    let length = bytes.len().min(*room);
    kept.push(&bytes[..length]);
    *room -= length;
    length == bytes.len()
}

fn cloned(body: &[u8]) -> Result<Point<'_>, &'static str> {
    let (mut by, mut thread, mut group) = (0, 0, 0);
    for field in Fields(body) {
        match field? {
            (1, Value::Bytes(context)) => by = context_of(context)?.1,
            (3, Value::Number(number)) => thread = number,
            (4, Value::Number(number)) => group = number,
            _ => {}
        }
    }
    Ok(Point::Cloned { by: numbered(by)?, thread: numbered(thread)?, group: numbered(group)? })
}

/// A system call at its entry has no result yet.
fn called(body: &[u8]) -> Result<Point<'_>, &'static str> {
    let task = task(body)?;
    let mut answer = None;
    for field in Fields(body) {
        if let (2, Value::Bytes(exit)) = field? {
            let mut error = 0;
            for field in Fields(exit) {
                if let (2, Value::Number(number)) = field? {
                    error = number;
                }
            }
            answer = Some(if error == 0 { Ok(()) } else { Err(error) });
        }
    }
    Ok(answer.map_or(Point::Asked(task), |answer| Point::Answered(task, answer)))
}

fn task(body: &[u8]) -> Result<Task, &'static str> {
    for field in Fields(body) {
        if let (1, Value::Bytes(context)) = field? {
            let (thread, group, uid) = context_of(context)?;
            return Ok(Task { thread: numbered(thread)?, group: numbered(group)?, uid });
        }
    }
    Err("it does not say whose it is")
}

/// Thread, process and user.
fn context_of(context: &[u8]) -> Result<(u64, u64, u32), &'static str> {
    let (mut thread, mut group, mut uid) = (0, 0, 0);
    for field in Fields(context) {
        match field? {
            (2, Value::Number(number)) => thread = number,
            (4, Value::Number(number)) => group = number,
            (7, Value::Bytes(credentials)) => {
                for field in Fields(credentials) {
                    if let (2, Value::Number(number)) = field? {
                        uid = u32::try_from(number).map_err(|_| "a user beyond all bounds")?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok((thread, group, uid))
}

fn numbered(number: u64) -> Result<u32, &'static str> {
    if number == 0 || number > MAX_NUMBER {
        return Err("a process or thread of no number");
    }
    Ok(number as u32)
}
