import { type NamedAttack, python } from './attack.ts'

export const terminalInjection: readonly NamedAttack[] = [
  {
    name: 'typing into a terminal',

    why: 'keys that a program pushes are read by whoever reads the terminal next (CVE-2017-5226)',
    stoppedBy: /^(EPERM|EACCES|ENOENT)/,
    missing: { 'TIOCLINUX on the console': /^(ENOTTY|EIO|ENXIO|ENOENT|EPERM|EINVAL)/, 'the terminal of another': /^(ENOENT|EIO|ENXIO)/ },
    code: python`
import fcntl, pty

def terminal():
    mine, theirs = pty.openpty()
    os.setsid()
    fcntl.ioctl(theirs, 0x540E, 0)
    return theirs

def pusher(number):
    def run():
        handle = terminal()
        for letter in b'x\n':
            ctypes.set_errno(0)
            if LIBC.ioctl(handle, ctypes.c_ulong(number), bytes([letter])) != 0:
                raise OSError(ctypes.get_errno(), 'ioctl')
        assert os.read(handle, 10) == b'x\n'
        return 'typed'
    return run

way('TIOCSTI')(pusher(0x5412))
way('TIOCSTI with more bits')(pusher(0x5412 | 1 << 32))

@way('TIOCLINUX on the console')
def console():
    handle = os.open('/dev/tty0' if os.path.exists('/dev/tty0') else '/dev/console' if os.path.exists('/dev/console') else '/dev/null', os.O_RDWR)
    # TIOCL_GETSHIFTSTATE
    fcntl.ioctl(handle, 0x541C, bytes([6]))
    return 'asked'

@way('the terminal of another')
def another():
    return open_only('/dev/console', os.O_WRONLY | os.O_NOCTTY)
`,
  },
]
