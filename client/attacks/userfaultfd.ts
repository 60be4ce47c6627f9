import { type NamedAttack, python } from './attack.ts'

export const userfaultfd: readonly NamedAttack[] = [
  {
    name: 'userfaultfd',

    why: 'stopping the kernel in the middle of a copy, which turns small races into reliable ones',
    stoppedBy: /^(EPERM|ENOSYS|ENOENT|EACCES)/,
    code: python`
way('all faults')(lambda: f"descriptor {syscall('userfaultfd', 0)}")
way('faults of user mode')(lambda: f"descriptor {syscall('userfaultfd', 1)}")

@way('/dev/userfaultfd')
def device():
    return open_only('/dev/userfaultfd', os.O_RDWR)
`,
    missing: { '/dev/userfaultfd': /^ENOENT/ },
  },
]
