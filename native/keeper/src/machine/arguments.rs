//! QEMU's command line: a minimal machine that has nothing but what is named here.

use super::{Machine, stage, ticks};
use crate::engine::{Engine, Platform, Warm};
use crate::fault::Outcome;
use crate::plan::{Network, Plan};

/// Cache for translated code. A shell uses a few megabytes, Python with its libraries some sixty.
pub const TRANSLATED_MIB: u64 = 128;

/// All features that can be emulated, except those that are fast only on real hardware: byte-wise string copies (erms,
/// fsrm), for which the kernel and the C library would give up copies of eight bytes and more, and a fifth page table
/// level (la57), which costs a step per address and has no use.
const EMULATED: &str = "max,-erms,-fsrm,-la57";

/// Inherited descriptors (mod.rs).
const STREAM: &str = "3";
const DISK: &str = "4";
const CONTROL: &str = "5";
/// Only for a restored machine.
pub const STATE: u32 = 6;

pub fn of(plan: &Plan, engine: &Engine, machine: &Machine) -> Outcome<Vec<String>> {
    let emulated = engine.platform != Platform::Kvm;
    let memory = machine.memory_bytes >> 20;
    let mut argv: Vec<String> = vec![engine.program.clone()];
    let mut add = |words: &[&str]| argv.extend(words.iter().map(|word| (*word).to_owned()));
    add(&["-name", &plan.id, "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"]);
    // The clock that the kernel tries first; no legacy interrupt controller and timer, which divide by zero here.
    add(&[
        "-machine",
        "microvm,pit=off,pic=off,rtc=on,isa-serial=on,memory-backend=memory",
        "-m",
        &format!("{memory}M"),
    ]);
    add(&["-object", &memory_of(engine, machine)]);
    add(&["-chardev", &format!("socket,id=control,fd={CONTROL}"), "-mon", "chardev=control,mode=control"]);
    match engine.warm {
        // The kernel is already in the saved memory. The saved state does not describe the machine's configuration
        // (qmp.rs), because both plans do.
        Some(Warm::Restore { .. } | Warm::Wake { .. }) => {
            add(&["-incoming", "defer", "-global", "migration.send-configuration=off"]);
        }
        _ => add(&["-kernel", stage::KERNEL, "-initrd", stage::INITRD, "-append", &kernel_line(emulated)?]),
    }
    add(&["-smp", &processors(machine.cpus, emulated)]);
    let translated = format!("tcg,thread=multi,tb-size={TRANSLATED_MIB}");
    add(&["-accel", if emulated { &translated } else { "kvm" }, "-cpu", if emulated { EMULATED } else { "host" }]);
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
    add(&["-chardev", &format!("socket,id=agent,fd={STREAM}"), "-device", "virtio-serial-device"]);
    add(&["-device", "virtserialport,chardev=agent,nr=1"]);
    for (name, path) in [("shown", stage::SHOWN), ("usr", stage::USR)] {
        let drive = format!("id={name},file={path},format=raw,if=none,readonly=on");
        add(&["-drive", &drive, "-device", &format!("virtio-blk-device,drive={name},serial={name}")]);
    }
    add(&[
        "-add-fd",
        &format!("fd={DISK},set=1"),
        "-drive",
        "id=own,file=/dev/fdset/1,format=raw,if=none,auto-read-only=off",
    ]);
    add(&["-device", "virtio-blk-device,drive=own,serial=own"]);
    if matches!(plan.network, Network::Gate { .. }) {
        add(&["-netdev", "user,id=out", "-device", "virtio-net-device,netdev=out"]);
    }
    Ok(argv)
}

/// Emulated CPUs share nothing that would be faster: each translates addresses for itself, and waking another takes a
/// host thread. If they were cores of one package, the kernel would answer from the other CPU.
fn processors(count: u32, emulated: bool) -> String {
    if emulated { format!("{count},sockets={count},cores=1,threads=1") } else { count.to_string() }
}

/// The machine that others are restored from shares its memory with a file. The others map that file privately.
fn memory_of(engine: &Engine, machine: &Machine) -> String {
    let of_file = format!("memory-backend-file,id=memory,size={},mem-path={}", machine.memory_bytes, stage::MEMORY);
    match engine.warm {
        None => format!("memory-backend-ram,id=memory,size={}", machine.memory_bytes),
        Some(Warm::Save { .. }) => format!("{of_file},share=on"),
        Some(Warm::Restore { .. } | Warm::Wake { .. }) if machine.reader.is_some() => format!("{of_file},share=off"),
        Some(Warm::Restore { .. } | Warm::Wake { .. }) => format!("{of_file},share=off,readonly=on,rom=off"),
    }
}

/// The kernel command line: no probing for missing hardware, and no mitigations of CPU side channels between processes
/// inside, which an emulated CPU does not need. Words after `--` go to the first program.
fn kernel_line(emulated: bool) -> Outcome<String> {
    let time = if emulated {
        // There is no other clock to calibrate it by. Large pages gain an emulated CPU nothing, and to make them takes it
        // tens of milliseconds and memory of its own, seconds after it has been forked.
        format!("tsc=reliable no_timer_check tsc_early_khz={} transparent_hugepage=never", ticks::per_millisecond()?)
    } else {
        "no_timer_check".to_string()
    };
    Ok(format!(
        "console=ttyS0 quiet {time} mitigations=off nopti spectre_v2=off audit=0 8250.nr_uarts=1 init_on_alloc=0 apparmor=0 lsm= \
         panic=-1 reboot=t rdinit=/init -- vm"
    ))
}
