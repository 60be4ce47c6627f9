import { type NamedAttack, python } from './attack.ts'

export const memfdSecret: readonly NamedAttack[] = [
  {
    name: 'memfd_secret',

    why: 'memory that nobody else, not even the host, can look into or count',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
way('memfd_secret')(lambda: f"descriptor {syscall('memfd_secret', 0)}")
`,
  },
]
