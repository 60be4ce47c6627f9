import { type NamedAttack, python } from './attack.ts'

export const machineLanguages: readonly NamedAttack[] = [
  {
    name: 'system calls by other names',

    why: 'a filter that knows the usual numbers only is walked around with those of 32 bits or x32',
    stoppedBy: /^(SIGSYS|ENOSYS|EPERM|EBUSY)/,
    missing: { x32: /^ENOSYS/, 'int 0x80': /^(ENOSYS|SIGSEGV)/, 'int 0x80 keyctl': /^(ENOSYS|SIGSEGV)/ },
    code: python`
import mmap

def run_code(code):
    area = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()

if X86:
    @way('int 0x80')
    def int80():
        # mov eax, 20 (getpid of 32 bits); int 0x80; ret
        found = run_code(bytes.fromhex('b814000000cd80c3'))
        if found < 0:
            raise OSError(-found, os.strerror(-found))
        assert found == os.getpid()
        return f'getpid says {found}'

    @way('int 0x80 keyctl')
    def keyctl():
        # mov eax, 288 (keyctl); xor ebx, ebx; mov ecx, -2; mov edx, 1; int 0x80; ret, with rbx kept.
        found = run_code(bytes.fromhex('53b82001000031dbb9feffffffba01000000cd805bc3'))
        if found < 0:
            raise OSError(-found, os.strerror(-found))
        return f'keyring {found}'

    @way('x32')
    def x32():
        ctypes.set_errno(0)
        found = LIBC.syscall(ctypes.c_long(0x40000000 | 39))
        if found < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return f'getpid says {found}'

@way('upper bits of the number')
def upper():
    # The kernel looks at the lower half of the register.
    ctypes.set_errno(0)
    number = NUMBERS['keyctl'][0 if X86 else -1]
    found = LIBC.syscall(ctypes.c_long(1 << 33 | number), ctypes.c_long(0), ctypes.c_long(-2), ctypes.c_long(1))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f'keyring {found}'

@way('a looser filter on top')
def looser():
    # Filters add up; one that allows everything takes nothing away from the one beneath. BPF: ret ALLOW.
    LIBC.prctl(38, 1, 0, 0, 0)
    code = ctypes.create_string_buffer(struct.pack('<HBBI', 6, 0, 0, 0x7fff0000))
    program = ctypes.create_string_buffer(struct.pack('<HxxxxxxQ', 1, ctypes.addressof(code)))
    ctypes.set_errno(0)
    if LIBC.prctl(22, 2, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'seccomp')
    return f"keyring {syscall('keyctl', 0, -2, 1)}"

@way('a listener of its own')
def listener():
    # Of two filters that both ask a listener, the newer one's is asked: it could wave through what the older one is to record.
    LIBC.prctl(38, 1, 0, 0, 0)
    execve = 59 if X86 else 221
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, execve), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)]
    code = ctypes.create_string_buffer(b''.join(struct.pack('<HBBI', *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack('<HxxxxxxQ', len(steps), ctypes.addressof(code)))
    ctypes.set_errno(0)
    found = LIBC.syscall(ctypes.c_long(317 if X86 else 277), ctypes.c_long(1), ctypes.c_long(8), program)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return f'descriptor {found}'
`,
  },
]
