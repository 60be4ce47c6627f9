import { hostname } from 'node:os'
import { type NamedAttack, python } from './attack.ts'

const before = hostname()

export const hostName: readonly NamedAttack[] = [
  {
    name: 'the host’s name',

    why: 'names decide in certificates, in logs and in what a shared terminal shows',
    stoppedBy: /^(EPERM|EROFS|EACCES)/,
    untouched: () => {
      if (hostname() !== before) throw new Error('the host has another name')
    },
    code: python`
way('sethostname')(lambda: f"set {syscall('sethostname', b'attacked', 8) + 1}")
way('setdomainname')(lambda: f"set {syscall('setdomainname', b'attacked', 8) + 1}")

@way('/proc/sys/kernel/hostname')
def proc():
    with open('/proc/sys/kernel/hostname', 'w') as file:
        file.write('attacked')
    return 'written'
`,
  },
]
