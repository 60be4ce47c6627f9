//! What follows from trace points. gVisor says nothing of a command whose words are not UTF-8, and drops one with more words than its socket takes: such
//! a command is known by its system call, which is always said, and is recorded without its words.

use std::collections::HashMap;

use super::points::{Message, Point, Task, Words};

/// Of a sandbox that holds to its limits there are far fewer.
const MAX_KNOWN: usize = 65_536;
/// Another thread of its process was faster: the words may have been said, and were for nothing.
const EINTR: u64 = 4;

#[derive(Default)]
pub struct Account {
    /// Something was said at all.
    pub begun: bool,
    dropped: u32,
    /// Of those, the ones that are known by their system call.
    explained: u32,
    /// Processes, and who started them.
    parents: HashMap<u32, u32>,
    /// Threads that have asked for a program, and whether its words were said.
    asking: HashMap<u32, bool>,
}

pub struct Command<'a> {
    pub pid: u32,
    /// None: it was there before the engine said anything.
    pub parent: Option<u32>,
    pub uid: u32,
    /// None: the engine has not said them.
    pub words: Option<Words<'a>>,
}

impl Account {
    /// The command that has begun, if one has; or why this is no account of what ran.
    pub fn take<'a>(&mut self, message: Message<'a>) -> Result<Option<Command<'a>>, String> {
        self.begun = true;
        let command = self.follow(message.point)?;
        // A message that waited says what was counted before it did.
        self.dropped = self.dropped.max(message.dropped);
        // Whatever else was dropped is small, and was not taken for a minute.
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
                // Its number may have been that of one that died while it asked.
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
