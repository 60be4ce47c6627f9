//! Measurements from inside: the processes of this pid namespace and the writable disk. The host reports the limits.

use caisson_wire::MetricsReply;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::statvfs::{Statvfs, statvfs};
use nix::unistd::{SysconfVar, sysconf};

/// ext4 refuses a large write as a whole, so a program can run out of space while this much is left.
const FULL_BYTES: u64 = 2 * 1024 * 1024;

/// Whether one of the file systems had no bytes or no inodes left.
pub fn disk_full(writable: &[String]) -> bool {
    writable.iter().filter_map(|path| statvfs(path.as_str()).ok()).any(|disk| is_full(&disk))
}

fn is_full(disk: &Statvfs) -> bool {
    let full = FULL_BYTES.min(disk.blocks() * disk.fragment_size() / 8);
    let no_bytes = disk.blocks() > 0 && disk.blocks_available() * disk.fragment_size() < full;
    // Some file systems do not count inodes.
    no_bytes || (disk.files() > 0 && disk.files_available() == 0)
}

/// CPU time of the processes that have ended and been reaped. (The calling thread does not matter.)
pub fn reaped_cpu_us() -> u64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| {
        let (user, system) = (usage.user_time(), usage.system_time());
        (user.tv_sec() + system.tv_sec()) as u64 * 1_000_000 + (user.tv_usec() + system.tv_usec()) as u64
    })
}

pub fn measure(writable: &[String], reaped_us: u64) -> MetricsReply {
    let mut reply = MetricsReply { cpu_used_us: reaped_us, ..MetricsReply::default() };
    let (page_bytes, ticks) = (constant(SysconfVar::PAGE_SIZE), constant(SysconfVar::CLK_TCK));
    for pid in pids() {
        // A process that has just ended is not counted.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        let Some((pages, cpu_ticks)) = parse(&String::from_utf8_lossy(&stat)) else { continue };
        reply.memory_used_bytes += pages * page_bytes;
        reply.cpu_used_us += cpu_ticks * 1_000_000 / ticks;
        reply.processes += 1;
    }
    let mut seen = Vec::new();
    for disk in writable.iter().filter_map(|path| statvfs(path.as_str()).ok()) {
        // Count folders of the same file system only once.
        let id = (disk.filesystem_id(), disk.blocks(), disk.files());
        if !seen.contains(&id) {
            seen.push(id);
            reply.disk_used_bytes += (disk.blocks() - disk.blocks_free()) * disk.fragment_size();
            reply.disk_total_bytes += disk.blocks() * disk.fragment_size();
            reply.disk_free_inodes += disk.files_available();
        }
    }
    reply
}

fn constant(variable: SysconfVar) -> u64 {
    sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok()).unwrap_or(1).max(1)
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Resident pages and CPU ticks from /proc/PID/stat. The command name may contain anything, including spaces and
/// parentheses.
fn parse(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    // Numbered as in proc_pid_stat(5); the first field after the name is the third.
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some((field(24)?, field(14)? + field(15)?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_with_parentheses_shifts_nothing() {
        let fields: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) R 1 (b) S {}", fields.join(" "));
        assert_eq!(super::parse(&stat), Some((24, 29)));
        assert_eq!(super::parse("7 (short) S 1"), None);
    }
}
