/** Each way ends as its name and what came of it, and is to be found in the record by its name: by what they call, from where, and in which machine language. */
export const WAYS = `
import ctypes, errno, mmap, os, struct, sys, threading
LIBC = ctypes.CDLL(None, use_errno=True)
PATH = ctypes.create_string_buffer(b"/bin/true")
keep = []

def words(name):
    keep.append((ctypes.c_char_p * 3)(b"true", name.encode(), None))
    return keep[-1]

def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def code(hexadecimal, below=0):
    LIBC.mmap.restype = ctypes.c_void_p
    at = LIBC.mmap(None, ctypes.c_size_t(4096), 7, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | below, -1, ctypes.c_long(0))
    ctypes.memmove(at, bytes.fromhex(hexadecimal), len(hexadecimal) // 2)
    return at

def by_descriptor(name):
    os.execve(os.open("/bin/true", os.O_RDONLY), ["true", name], {})

def by_memory(name):
    copy = os.memfd_create("copy")
    os.write(copy, open("/bin/true", "rb").read())
    os.execve(copy, ["true", name], {})

def by_execveat(name):
    check(LIBC.syscall(ctypes.c_long(322), -100, PATH, words(name), None, 0))

def by_thread(name):
    one = threading.Thread(target=os.execv, args=("/bin/true", ["true", name]))
    one.start(); one.join()

def by_vfork(name):
    pid = os.posix_spawn("/bin/true", ["true", name], {})
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def by_own_code(name):
    # mov eax, 59; syscall; ret
    check(-(-ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(code("b83b0000000f05c3"))(ctypes.addressof(PATH), ctypes.addressof(words(name)), None) > 0))

def by_static(name):
    # A whole program, without a linker or a library: execve("/bin/true", {"true", name, NULL}, NULL).
    base = 0x400000; text = base + 120
    strings = text + 64; path = b"/bin/true\\0"; argv0 = b"true\\0"; argv1 = name.encode() + b"\\0"
    list_at = strings + 64
    program = struct.pack("<BIBI", 0xbf, strings, 0xbe, list_at) + bytes.fromhex("31d2b83b0000000f05bf09000000b83c0000000f05")
    data = path + argv0 + argv1
    pointers = struct.pack("<QQQ", strings + len(path), strings + len(path) + len(argv0), 0)
    body = program.ljust(64, b"\\0") + data.ljust(64, b"\\0") + pointers
    head = b"\\x7fELF\\2\\1\\1".ljust(16, b"\\0") + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, text, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 1, 7, 0, base, base, 120 + len(body), 120 + len(body), 4096)
    place = os.path.join(os.environ["PLACE"], "static")
    with open(place, "wb") as file:
        file.write(head + body)
    os.chmod(place, 0o755)
    os.execv(place, [place])

def filtered(flags, verdict):
    LIBC.prctl(38, 1, 0, 0, 0)
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 59), (6, 0, 0, verdict), (6, 0, 0, 0x7fff0000)]
    text = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(text)))
    return check(LIBC.syscall(ctypes.c_long(317), ctypes.c_long(1), ctypes.c_long(flags), program))

def by_own_filter(name):
    filtered(0, 0x7fff0000)
    os.execv("/bin/true", ["true", name])

def by_own_listener(name):
    # Of two filters that both ask, the newer one's listener is asked: this one would wave it through.
    filtered(8, 0x7fc00000)
    os._exit(0)

def by_tracer(name):
    # Another call, which a tracer makes an execve of while it is being made.
    argv = words(name)
    LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    pid = os.fork()
    if pid == 0:
        LIBC.ptrace(0, 0, None, None)
        os.kill(os.getpid(), 19)
        LIBC.syscall(ctypes.c_long(39), PATH, argv, None)
        os._exit(98)
    os.waitpid(pid, 0)
    registers = (ctypes.c_ulonglong * 27)()
    while True:
        LIBC.ptrace(24, pid, None, None)
        if not os.WIFSTOPPED(os.waitpid(pid, 0)[1]):
            os._exit(97)
        LIBC.ptrace(12, pid, None, registers)
        if registers[15] == 39 and registers[14] == ctypes.addressof(PATH):
            registers[15] = 59
            LIBC.ptrace(13, pid, None, registers)
            LIBC.ptrace(17, pid, None, None)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

def by_32_bits(name):
    # push rbx; mov eax, 11; mov ebx, edi; mov ecx, esi; xor edx, edx; int 0x80; pop rbx; ret
    at = code("53b80b00000089fb89f131d2cd805bc3", 0x40)
    path, argv, text = at + 64, at + 96, at + 128
    ctypes.memmove(path, b"/bin/true\\0", 10)
    ctypes.memmove(text, name.encode() + b"\\0", len(name) + 1)
    ctypes.memmove(argv, struct.pack("<III", path, text, 0), 12)
    found = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(at)(path, argv)
    raise OSError(-found, "refused")

def by_x32(name):
    check(LIBC.syscall(ctypes.c_long(0x40000000 | 520), PATH, words(name), None))

for act in [by_descriptor, by_memory, by_execveat, by_thread, by_vfork, by_own_code, by_static, by_own_filter, by_own_listener, by_tracer, by_32_bits, by_x32]:
    name = act.__name__
    pid = os.fork()
    if pid == 0:
        try:
            act(name)
        except OSError as error:
            os._exit(error.errno & 127)
        os._exit(99)
    status = os.waitpid(pid, 0)[1]
    print(name, "ran" if status == 0 else f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else errno.errorcode.get(os.WEXITSTATUS(status), "failed"), flush=True)
`

/**
 * A program of 150 bytes that executes itself with its argument less its first letter, until none is left: as many execs as there are letters, as fast as
 * the kernel makes them, each of which says which it is. It ends with 0, or with the number of the error.
 */
export function chain(): Uint8Array {
  const text = [
    // mov rax, [rsp+16]; cmp byte [rax], 0; je out
    ...['488b442410', '803800', '7421'],
    // inc qword [rsp+16]; mov rdi, [rsp+8]; lea rsi, [rsp+8]; lea rdx, [rsp+24]; mov eax, 59; syscall
    ...['48ff442410', '488b7c2408', '488d742408', '488d542418', 'b83b000000', '0f05'],
    // neg eax; mov edi, eax; jmp end; out: xor edi, edi; end: mov eax, 60; syscall
    ...['f7d8', '89c7', 'eb02', '31ff', 'b83c000000', '0f05'],
  ]
  const code = Buffer.from(text.join(''), 'hex')
  const head = Buffer.alloc(120)
  head.write('\x7fELF\x02\x01\x01', 'latin1')
  const base = 0x400000n
  const size = BigInt(head.length + code.length)
  head.writeUInt16LE(2, 16)
  head.writeUInt16LE(62, 18)
  head.writeUInt32LE(1, 20)
  head.writeBigUInt64LE(base + 120n, 24)
  head.writeBigUInt64LE(64n, 32)
  head.writeUInt16LE(64, 52)
  head.writeUInt16LE(56, 54)
  head.writeUInt16LE(1, 56)
  // One segment, to be read and executed.
  head.writeUInt32LE(1, 64)
  head.writeUInt32LE(5, 68)
  for (const [at, value] of [
    [80, base],
    [88, base],
    [96, size],
    [104, size],
    [112, 4096n],
  ] as const)
    head.writeBigUInt64LE(value, at)
  return new Uint8Array(Buffer.concat([head, code]))
}
