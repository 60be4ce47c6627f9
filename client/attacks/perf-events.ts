import { type NamedAttack, python } from './attack.ts'

export const perfEvents: readonly NamedAttack[] = [
  {
    name: 'perf_event_open',

    why: 'measuring what the kernel and other processes do, and a long list of kernel bugs',
    stoppedBy: /^(EPERM|EACCES|ENOSYS)/,
    code: python`
def event(pid, cpu):
    def run():
        # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK.
        attributes = struct.pack('<IIQ', 1, 128, 0).ljust(128, b'\0')
        return f"descriptor {syscall('perf_event_open', attributes, pid, cpu, -1, 0)}"
    return run

way('of itself')(event(0, -1))
way('of a processor')(event(-1, 0))
`,
  },
]
