//! The account of commands, derived from trace points. gVisor reports no command whose arguments are not UTF-8, and
//! drops one with more arguments than its socket takes. Such a command is known by its system call, which is always
//! reported, and is recorded without its arguments.

use std::collections::HashMap;

use super::points::{Message, Point, Task, Words};

/// A sandbox within its limits has far fewer.
const MAX_KNOWN: usize = 65_536;
/// Another thread of the process called exec first; the arguments may have been reported for nothing.
const EINTR: u64 = 4;

#[derive(Default)]
pub struct Account {
    /// True once anything was reported.
    pub begun: bool,
    dropped: u32,
    /// The dropped messages that are explained by a known system call.
    explained: u32,
    /// The parent of each process.
    parents: HashMap<u32, u32>,
    /// Threads in execve, and whether the arguments were reported.
    asking: HashMap<u32, bool>,
}

pub struct Command<'a> {
    pub pid: u32,
    /// None: it existed before the engine reported anything.
    pub parent: Option<u32>,
    pub uid: u32,
    /// None: the engine did not report them.
    pub words: Option<Words<'a>>,
}

impl Account {
    /// Returns the command that has begun, if any; an error says why the account is incomplete.
    pub fn take<'a>(&mut self, message: Message<'a>) -> Result<Option<Command<'a>>, String> {
        self.begun = true;
        let command = self.follow(message.point)?;
        // A message that was queued carries an older counter.
        self.dropped = self.dropped.max(message.dropped);
        // Any other dropped message is small, and was dropped because nobody read for a minute.
        let asking = self.asking.len() as u32;
        if self.dropped > self.explained.saturating_add(asking) {
            return Err(format!("{} of its trace points were lost", self.dropped - self.explained));
        }
        Ok(command)
    }

    fn follow<'a>(&mut self, point: Point<'a>) -> Result<Option<Command<'a>>, String> {
        match point {
            Point::Started(mut words) => {
                words.path = words.argv.first().copied().unwrap_or_default();
                Ok(Some(Command { pid: 1, parent: None, uid: 0, words: Some(words) }))
            }
            Point::Cloned { by, thread, group } => {
                // Its number may have belonged to a thread that died during execve.
                self.asking.remove(&thread);
                if by != group {
                    self.parents.insert(group, by);
                }
                bounded(&self.parents).map(|()| None)
            }
            Point::Asked(task) => {
                self.asking.insert(task.thread, false);
                bounded(&self.asking).map(|()| None)
            }
            Point::Runs(task, words) => {
                self.asking.insert(task.thread, true);
                bounded(&self.asking).map(|()| Some(self.command(task, Some(words))))
            }
            Point::Answered(task, answer) => {
                let said = self.asking.remove(&task.thread).unwrap_or(false);
                let silent = !said && answer.is_ok();
                if silent || !said && answer == Err(EINTR) {
                    self.explained = self.explained.saturating_add(1);
                }
                Ok(silent.then(|| self.command(task, None)))
            }
            Point::Other => Ok(None),
        }
    }

    fn command<'a>(&self, task: Task, words: Option<Words<'a>>) -> Command<'a> {
        Command { pid: task.group, parent: self.parents.get(&task.group).copied(), uid: task.uid, words }
    }
}

fn bounded<T>(known: &HashMap<u32, T>) -> Result<(), String> {
    if known.len() > MAX_KNOWN {
        return Err("its trace points tell of more processes than there can be".into());
    }
    Ok(())
}
