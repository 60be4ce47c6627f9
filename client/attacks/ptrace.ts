import { type NamedAttack, python } from './attack.ts'

export const ptrace: readonly NamedAttack[] = [
  {
    name: 'tracing other processes',

    why: 'whoever traces a process is that process',
    stoppedBy: /^(EPERM|EACCES|ENOSYS)/,
    code: python`
ATTACH, DETACH, SEIZE, TRACEME = 16, 17, 0x4206, 0

@way('seize the first process')
def seize():
    syscall('ptrace', SEIZE, 1, 0, 0)
    return 'seized'

@way('attach to a child')
def attach():
    child = os.fork()
    if child == 0:
        time.sleep(20)
        os._exit(0)
    try:
        syscall('ptrace', ATTACH, child, 0, 0)
        os.waitpid(child, 0)
        syscall('ptrace', DETACH, child, 0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
    return f'traced {child}'

@way('be traced')
def traceme():
    syscall('ptrace', TRACEME, 0, 0, 0)
    return 'traced'

class Span(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]

SECRET = ctypes.create_string_buffer(b'a value in memory')

def spans():
    mine = ctypes.create_string_buffer(len(SECRET))
    theirs = Span(ctypes.addressof(SECRET), len(SECRET))
    return mine, ctypes.byref(Span(ctypes.addressof(mine), len(SECRET))), ctypes.byref(theirs)

# Without the wall the first process is this program's own parent, with the same memory.
@way('read its memory')
def read():
    mine, local, remote = spans()
    syscall('process_vm_readv', 1, local, 1, remote, 1, 0)
    return mine.value

@way('write its memory')
def write():
    _, local, remote = spans()
    syscall('process_vm_writev', 1, remote, 1, remote, 1, 0)
    return 'written'

@way('take its descriptors')
def take():
    handle = syscall('pidfd_open', 1, 0)
    return f"descriptor {syscall('pidfd_getfd', handle, 1, 0)}"

@way('compare')
def compare():
    return f"kcmp {syscall('kcmp', 1, 1, 2, 0, 0)}"

@way('advise on its memory')
def advise():
    handle = syscall('pidfd_open', 1, 0)
    page = Span(ctypes.addressof(SECRET) & ~4095, 4096)
    return f"process_madvise {syscall('process_madvise', handle, ctypes.byref(page), 1, 20, 0)}"
`,
  },
]
