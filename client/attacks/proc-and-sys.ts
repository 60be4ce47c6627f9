import { type NamedAttack, python } from './attack.ts'

export const procAndSys: readonly NamedAttack[] = [
  {
    name: 'switches of the kernel in /proc',

    why: 'one write crashes the machine, or names a program that the kernel then runs as root on the host',
    stoppedBy: /^(EROFS|EACCES|EPERM|ENOENT|not the kernel)/,
    code: python`
def opener(path):
    return lambda: open_only(path, os.O_WRONLY)

for path in [
    'sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hotplug', 'sys/kernel/panic', 'sys/kernel/sysrq', 'sys/kernel/hostname',
    'sys/kernel/kptr_restrict', 'sys/kernel/randomize_va_space', 'sys/kernel/usermodehelper/bset', 'sys/kernel/ns_last_pid',
    'sys/vm/overcommit_memory', 'sys/vm/drop_caches', 'sys/vm/panic_on_oom', 'sys/fs/suid_dumpable', 'sys/fs/protected_symlinks',
    'sys/net/ipv4/ip_forward', 'irq/default_smp_affinity', 'sys/kernel/pid_max', 'mtrr',
]:
    way(path)(opener(f'/proc/{path}'))

@way('sysrq-trigger')
def sysrq():
    # A mask is a /dev/null: it can be opened, and what is written goes nowhere.
    handle = os.open('/proc/sysrq-trigger', os.O_WRONLY)
    if os.fstat(handle).st_rdev == os.makedev(1, 3):
        raise Contained('not the kernel: /dev/null lies over it')
    return 'opened /proc/sysrq-trigger'

@way('binfmt_misc')
def binfmt():
    syscall('mount', b'binfmt_misc', b'/proc/sys/fs/binfmt_misc', b'binfmt_misc', 0, None)
    return open_only('/proc/sys/fs/binfmt_misc/register', os.O_WRONLY)
`,
    missing: {
      'sys/kernel/hotplug': /^ENOENT/,
      'sys/kernel/modprobe': /^ENOENT/,
      'sys/kernel/sysrq': /^ENOENT/,
      'sysrq-trigger': /^ENOENT/,
      mtrr: /^(ENOENT|EACCES|EIO)/,
      binfmt_misc: /^(ENODEV|ENOENT)/,
    },
  },
  {
    name: 'memory and secrets of the kernel in /proc',

    why: 'all of the machine’s memory, its keys, or where the kernel lies in memory',
    stoppedBy: /^(EACCES|EPERM|ENOENT|empty)/,
    code: python`
def reader(path, most=64):
    def read():
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = os.read(handle, most)
        except BlockingIOError:
            return 'opened, nothing new'
        if not found:
            raise Contained('empty')
        return found
    return read

for path in ['kcore', 'kmsg', 'keys', 'key-users', 'timer_list', 'config.gz', 'kpagecount', 'kpageflags', 'kpagecgroup', 'slabinfo', 'vmallocinfo', 'pagetypeinfo', 'interrupts']:
    way(path)(reader(f'/proc/{path}'))

@way('kallsyms')
def kallsyms():
    with open('/proc/kallsyms') as file:
        line = file.readline()
    if not line or set(line.split()[0]) == {'0'}:
        raise Contained('empty')
    return line

@way('acpi')
def acpi():
    found = os.listdir('/proc/acpi')
    if not found:
        raise Contained('empty')
    return found
`,
    missing: { kcore: /^ENOENT/, kpagecgroup: /^ENOENT/, 'config.gz': /^ENOENT/, timer_list: /^ENOENT/, acpi: /^(ENOENT|empty)/ },
  },
  {
    name: '/sys',

    why: 'devices, kernel settings, control groups and security modules are steered there',
    stoppedBy: /^(ENOENT|EACCES|EPERM|EROFS)/,
    code: python`
def lister(path):
    return lambda: os.listdir(path) or 'an empty folder'

for path in ['/sys/kernel', '/sys/fs/cgroup', '/sys/class/block', '/sys/bus', '/sys/module', '/sys/firmware', '/sys/power', '/sys/devices/virtual']:
    way(path)(lister(path))

@way('stop a processor')
def processor():
    # Programs count processors there; it is shown, and no more.
    return open_only('/sys/devices/system/cpu/cpu1/online', os.O_WRONLY)

def mounter(kind):
    def mount():
        syscall('mount', b'attack', b'/tmp', kind.encode(), 0, None)
        return os.listdir('/tmp') or 'an empty folder'
    return mount

for kind in ['sysfs', 'debugfs', 'tracefs', 'securityfs', 'pstore', 'bpf', 'fusectl', 'devtmpfs']:
    way(f'mount {kind}')(mounter(kind))
`,
  },
  {
    name: 'memory of another process through /proc',

    why: 'writing it is running code there, with its rights',
    stoppedBy: /^(EACCES|EPERM|ENOENT)/,
    code: python`
@way('the first process')
def first():
    return open_only('/proc/1/mem', os.O_RDWR)

@way('its descriptors')
def descriptors():
    return [os.readlink(f'/proc/1/fd/{name}') for name in os.listdir('/proc/1/fd')]

@way('its root')
def root():
    return os.stat('/proc/1/root/').st_ino

@way('its program')
def exe():
    return os.readlink('/proc/1/exe')

@way('its environment')
def environ():
    return open_only('/proc/1/environ', os.O_RDONLY)

@way('its stack')
def stack():
    with open('/proc/1/stack') as file:
        return file.read()
`,
  },
]
