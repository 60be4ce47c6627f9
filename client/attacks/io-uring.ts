import { type NamedAttack, python } from './attack.ts'

export const ioUring: readonly NamedAttack[] = [
  {
    name: 'io_uring',

    why: 'a second way to nearly every system call, that no filter sees',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
@way('io_uring_setup')
def setup():
    return f"descriptor {syscall('io_uring_setup', 4, ctypes.create_string_buffer(256))}"
`,
  },
]
