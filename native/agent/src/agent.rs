//! State shared by all connections.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::leash::Config;
use crate::process::{Process, Table};
use crate::pump;
use crate::threads::Threads;
use crate::vm;

/// Memory needed only for a while is returned to the system after this much idle time.
const REST_AFTER: Duration = Duration::from_millis(500);

/// The most ended processes whose pipes are drained for the sake of their children.
const MAX_DRAINING: usize = 64;

pub struct Agent {
    pub config: Config,
    pub processes: RefCell<Table>,
    pub threads: Threads,
    resting: Cell<u64>,
    draining: Cell<usize>,
}

impl Agent {
    pub fn new(config: Config) -> Rc<Agent> {
        Rc::new(Agent {
            config,
            processes: RefCell::default(),
            threads: Threads::default(),
            resting: Cell::new(0),
            draining: Cell::new(0),
        })
    }

    /// Background processes may still hold the pipes of an ended process. Nobody reads their output any more, but
    /// writing must not kill them.
    pub fn drain(self: &Rc<Self>, process: &Rc<Process>) {
        if process.ports.has_terminal || self.draining.get() >= MAX_DRAINING {
            return;
        }
        let (agent, process) = (self.clone(), process.clone());
        agent.draining.set(agent.draining.get() + 1);
        tokio::task::spawn_local(async move {
            process.ports.stdin.close();
            process.ports.control.close();
            tokio::join!(pump::forget(&process.ports.stdout), pump::forget(&process.ports.stderr));
            agent.draining.set(agent.draining.get() - 1);
        });
    }

    /// Call it at the end of each operation. Not in a machine, whose memory the host does not get back.
    pub fn rest(self: &Rc<Self>) {
        if vm::is_here() {
            return;
        }
        let before = self.resting.get();
        self.resting.set(before + 1);
        if before != 0 {
            return;
        }
        let agent = self.clone();
        tokio::task::spawn_local(async move {
            loop {
                let seen = agent.resting.get();
                tokio::time::sleep(REST_AFTER).await;
                if agent.resting.get() == seen {
                    agent.resting.set(0);
                    // SAFETY: malloc_trim has no preconditions.
                    unsafe { libc::malloc_trim(0) };
                    return;
                }
            }
        });
    }
}
