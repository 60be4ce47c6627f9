import { readFileSync } from 'node:fs'
import { type NamedAttack, python } from './attack.ts'

/** For walls with their own kernel. It ranks other findings: what the host's kernel grants is an escape; what another grants is worth little. */
export const hostKernel: NamedAttack = {
  name: 'the host’s kernel',
  why: 'whoever it answers can use its faults; behind this wall another one answers',
  walls: ['gvisor', 'microvm'],
  users: ['user'],
  facts: () => ({
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    since: Number(/^btime (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]),
  }),
  stoppedBy: /^(another|ENOENT)/,
  code: python`
@way('by the id of its boot')
def boot():
    with open('/proc/sys/kernel/random/boot_id') as file:
        found = file.read().strip()
    if found != facts['boot']:
        raise Contained(f'another: {found}')
    return found

@way('by the time since when it runs')
def since():
    with open('/proc/stat') as file:
        found = int(next(line.split()[1] for line in file if line.startswith('btime')))
    # Clocks that are set move it.
    if abs(found - facts['since']) > 2:
        raise Contained(f'another, that runs since {found}')
    return str(found)
`,
}
