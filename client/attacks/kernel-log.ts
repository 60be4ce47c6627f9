import { type NamedAttack, python } from './attack.ts'

export const kernelLog: readonly NamedAttack[] = [
  {
    name: 'the kernel’s log',

    why: 'addresses of the kernel, and what other sandboxes made it say',
    stoppedBy: /^(EPERM|EACCES|ENOENT|empty)/,
    code: python`
@way('syslog')
def log():
    # SYSLOG_ACTION_READ_ALL
    room = ctypes.create_string_buffer(4096)
    return f"{syscall('syslog', 3, room, 4096)} bytes"

@way('its size')
def size():
    return f"{syscall('syslog', 10, None, 0)} bytes"

@way('/dev/kmsg')
def kmsg():
    return open_only('/dev/kmsg', os.O_RDONLY | os.O_NONBLOCK)

@way('/proc/kmsg')
def proc():
    handle = os.open('/proc/kmsg', os.O_RDONLY | os.O_NONBLOCK)
    if os.fstat(handle).st_rdev == os.makedev(1, 3):
        raise Contained('empty: /dev/null lies over it')
    return 'opened /proc/kmsg'

@way('dmesg')
def dmesg():
    done = subprocess.run(['/usr/bin/dmesg'], capture_output=True, text=True)
    if done.returncode != 0:
        raise PermissionError(errno.EPERM, done.stderr)
    return f'{len(done.stdout)} characters'

@way('writing it')
def write():
    return open_only('/dev/kmsg', os.O_WRONLY)
`,
  },
]
