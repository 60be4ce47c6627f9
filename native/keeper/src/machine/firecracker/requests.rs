//! The requests to Firecracker, in this order: the size of the machine, its boot source, its disks, its channel, its
//! link, then the start. (firecracker.yaml of its repository, version 1.8 and later.)

use serde_json::{Value, json};

use crate::gate::tap;
use crate::machine::{Machine, stage};

/// The number of an inherited descriptor (mod.rs).
const DISK: u32 = 3;
/// The guest's context id: any that is not reserved (vsock(7)).
const CONTEXT: u32 = 3;

pub struct Request {
    pub path: String,
    pub body: Value,
}

pub fn of(machine: &Machine, gated: bool) -> Vec<Request> {
    let put = |path: &str, body| Request { path: path.to_owned(), body };
    let size = json!({ "vcpu_count": machine.cpus, "mem_size_mib": machine.memory_bytes >> 20, "smt": false });
    let start = json!({
        "kernel_image_path": stage::KERNEL,
        "initrd_path": stage::INITRD,
        "boot_args": KERNEL_LINE,
    });
    let own = format!("/proc/self/fd/{DISK}");
    let mut requests = vec![
        put("/machine-config", size),
        put("/boot-source", start),
        // The agent identifies the disks by this order.
        drive("shown", stage::SHOWN, true),
        drive("usr", stage::USR, true),
        drive("own", &own, false),
        put("/vsock", json!({ "guest_cid": CONTEXT, "uds_path": stage::VSOCK })),
    ];
    if gated {
        requests.push(put("/network-interfaces/out", json!({ "iface_id": "out", "host_dev_name": tap::NAME })));
    }
    requests.push(put("/actions", json!({ "action_type": "InstanceStart" })));
    requests
}

/// None of them is the kernel's root; the agent assembles that. A flush inside reaches the host's disk file.
fn drive(name: &str, path: &str, read_only: bool) -> Request {
    let body = json!({
        "drive_id": name,
        "path_on_host": path,
        "is_root_device": false,
        "is_read_only": read_only,
        "cache_type": if read_only { "Unsafe" } else { "Writeback" },
    });
    Request { path: format!("/drives/{name}"), body }
}

/// No probing for missing hardware. The machine ends by a reset through the keyboard controller, which Firecracker
/// notices. Its console is a pipe of the keeper's that loses what does not fit. Words after `--` go to the first
/// program.
const KERNEL_LINE: &str = "console=ttyS0 quiet 8250.nr_uarts=1 pci=off i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd audit=0 apparmor=0 lsm= \
                           panic=-1 reboot=k rdinit=/init -- vm vsock";

#[cfg(test)]
mod tests {
    use super::super::channel;
    use super::*;
    use crate::machine::Vmm;

    fn machine() -> Machine {
        let path = |name: &str| format!("/somewhere/{name}");
        Machine {
            vmm: Vmm::Firecracker,
            kernel: path("vmlinux"),
            initrd: path("initrd"),
            usr: path("usr.erofs"),
            shown: path("shown.erofs"),
            memory_bytes: 240 << 20,
            cpus: 2,
            reader: None,
            twins: None,
        }
    }

    fn paths(gated: bool) -> Vec<String> {
        of(&machine(), gated).into_iter().map(|request| request.path).collect()
    }

    #[test]
    fn all_that_it_is_comes_before_it_begins() {
        let common = ["/machine-config", "/boot-source", "/drives/shown", "/drives/usr", "/drives/own", "/vsock"];
        assert_eq!(paths(false), [&common[..], &["/actions"]].concat());
        assert_eq!(paths(true), [&common[..], &["/network-interfaces/out", "/actions"]].concat());
    }

    #[test]
    fn it_is_as_large_as_planned_and_has_one_disk_to_write_to() {
        let requests = of(&machine(), true);
        assert_eq!(requests[0].body, json!({ "vcpu_count": 2, "mem_size_mib": 240, "smt": false }));
        let writable: Vec<_> = requests.iter().filter(|one| one.body["is_read_only"] == false).collect();
        assert_eq!(writable.len(), 1);
        assert_eq!(writable[0].body["path_on_host"], "/proc/self/fd/3");
        assert!(requests.iter().all(|one| one.body["is_root_device"] != true));
        // No host path appears in the requests.
        assert!(!requests.iter().any(|one| one.body.to_string().contains("/somewhere")));
    }

    #[test]
    fn the_port_is_no_part_of_what_firecracker_is_told() {
        assert_eq!(of(&machine(), false)[5].body, json!({ "guest_cid": 3, "uds_path": "/run/vsock" }));
        assert_eq!(channel::PORT, 1024);
    }
}
