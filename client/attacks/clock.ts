import { type NamedAttack, python } from './attack.ts'

export const clock: readonly NamedAttack[] = [
  {
    name: 'the clock',

    why: 'certificates, logs and tokens of the host go by it',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
TICK = 0x4000

# Each sets what is set already.
def adjusted(call):
    def run():
        timex = ctypes.create_string_buffer(208)
        call(timex)
        struct.pack_into('<I', timex, 0, TICK)
        call(timex)
        return 'tick set'
    return run

way('adjtimex')(adjusted(lambda timex: syscall('adjtimex', timex)))
way('clock_adjtime')(adjusted(lambda timex: syscall('clock_adjtime', 0, timex)))

@way('settimeofday')
def zone():
    zone = ctypes.create_string_buffer(8)
    LIBC.gettimeofday(None, zone)
    syscall('settimeofday', None, zone)
    return 'zone set'

@way('a time namespace')
def namespace():
    syscall('unshare', 0x80)
    return 'unshare'
`,
  },
]
