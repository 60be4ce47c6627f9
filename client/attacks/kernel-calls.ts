import { type NamedAttack, python } from './attack.ts'

export const kernelCalls: readonly NamedAttack[] = [
  {
    name: 'calls that change the machine',

    why: 'another kernel, a module, a halt, a swap file: the whole machine at once',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
# Each is called with something that the kernel refuses, after it has looked at the caller's rights: that other refusal is the success.
def past(name, beyond, *arguments):
    def run():
        try:
            syscall(name, *arguments)
        except OSError as error:
            if errno.errorcode[error.errno] not in beyond:
                raise
            return f'got as far as {errno.errorcode[error.errno]}'
        return 'done'
    return run

way('load a module')(past('init_module', ['ENOEXEC', 'EFAULT', 'EINVAL'], b'not a module', 12, b''))
way('load a module from a file')(past('finit_module', ['ENOEXEC', 'EBADF', 'EINVAL'], -1, b'', 0))
way('remove a module')(past('delete_module', ['ENOENT', 'EFAULT'], b'caisson_no_such_module', 0o4000))
way('another kernel')(past('kexec_load', ['EINVAL', 'EADDRNOTAVAIL'], 0, 0, None, 1 << 60))
way('restart')(past('reboot', ['EINVAL'], 1, 2, 3, None))
way('swap on')(past('swapon', ['ENOENT'], b'/proc/self/caisson-none', 0))
way('swap off')(past('swapoff', ['ENOENT'], b'/proc/self/caisson-none'))
way('accounting')(past('acct', ['ENOENT'], b'/proc/self/caisson-none'))
way('watch all files')(past('fanotify_init', [], 0, 0))
if X86:
    way('ioperm')(past('ioperm', [], 0x80, 1, 1))
    way('iopl')(past('iopl', [], 3))
`,
    missing: {
      'load a module': /^ENOSYS/,
      'load a module from a file': /^ENOSYS/,
      'remove a module': /^ENOSYS/,
      'another kernel': /^ENOSYS/,
      accounting: /^ENOSYS/,
      ioperm: /^(ENOSYS|EPERM)/,
      iopl: /^(ENOSYS|EPERM)/,
    },
  },
]
