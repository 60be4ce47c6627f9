//! The steward: a thread that kept the rights that the agent has given up, and uses them on the keeper's orders.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::sys::socket::{MsgFlags, send};
use serde_json::json;

use super::{Machine, Outcome, execs, renewal, root};

// linux/fs.h: _IOWR('X', 119, int) and 120
const FIFREEZE: libc::c_ulong = 0xC004_5877;
const FITHAW: libc::c_ulong = 0xC004_5878;

pub enum Order {
    /// Write everything to the disk, and let nothing follow.
    WriteBack,
    GoOn,
    Renew(Box<Machine>),
    /// Nanoseconds since 1970.
    Clock(u64),
}

static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();

/// Does nothing outside a machine, where there is no steward.
pub fn tell(order: Order) {
    if let Some(orders) = ORDERS.get() {
        // Cannot fail: the thread lives as long as the machine.
        let _ = orders.send(order);
    }
}

/// Call it while there are still rights.
pub fn start(leash: &OwnedFd) -> Outcome<()> {
    let leash = leash.try_clone().map_err(|error| format!("leash: {error}"))?;
    let open = |path| File::open(path).map_err(|error| format!("{path}: {error}"));
    let (disk, files) = (open(root::DISK)?, open(root::FILES)?);
    let (orders, taken) = channel();
    ORDERS.set(orders).map_err(|_| "a second steward".to_string())?;
    let serve = move || serve(&taken, &disk, &files, &leash);
    std::thread::Builder::new().name("steward".into()).spawn(serve).map_err(|error| format!("steward: {error}"))?;
    Ok(())
}

fn serve(orders: &Receiver<Order>, disk: &File, files: &File, leash: &OwnedFd) {
    let mut written = false;
    // Fails only if the keeper is ending.
    let say = |said: String| {
        let _ = send(leash.as_raw_fd(), said.as_bytes(), MsgFlags::MSG_NOSIGNAL);
    };
    for order in orders {
        let renewed = match &order {
            Order::Renew(machine) => {
                execs::renew(machine.commands);
                Some(renewal::renew(machine).and_then(|()| renewal::rename(machine, files)))
            }
            Order::Clock(now_ns) => Some(renewal::set_clock(*now_ns)),
            Order::WriteBack | Order::GoOn => None,
        };
        if let Some(renewed) = renewed {
            let said = renewed.map_or_else(|error| json!({ "error": error }), |()| json!({ "ready": true }));
            say(said.to_string());
            // The last order before a machine resumes; from here on the keeper reads its reports.
            if matches!(order, Order::Clock(_)) {
                execs::go_on();
            }
            continue;
        }
        let request = if matches!(order, Order::WriteBack) { FIFREEZE } else { FITHAW };
        if written != (request == FIFREEZE) {
            // SAFETY: neither reads its argument.
            let done = unsafe { libc::ioctl(disk.as_raw_fd(), request, 0) } == 0;
            written = if request == FIFREEZE { done } else { written && !done };
        }
        if request == FITHAW {
            execs::go_on();
        } else {
            say(format!("{{\"written\":{written}}}"));
        }
    }
}
