import { hostname } from 'node:os'
import { expect } from 'vitest'
import { attack, python, shared } from './attack.ts'

const wall = shared()
const name = hostname()

attack(wall, 'the host’s name', {
  why: 'names decide in certificates, in logs and in what a shared terminal shows',
  stoppedBy: /^(EPERM|EROFS|EACCES)/,
  untouched: () => expect(hostname()).toBe(name),
  code: python`
way('sethostname')(lambda: f"set {syscall('sethostname', b'attacked', 8) + 1}")
way('setdomainname')(lambda: f"set {syscall('setdomainname', b'attacked', 8) + 1}")

@way('/proc/sys/kernel/hostname')
def proc():
    with open('/proc/sys/kernel/hostname', 'w') as file:
        file.write('attacked')
    return 'written'
`,
})
