import { type NamedAttack, python } from './attack.ts'

export const bpf: readonly NamedAttack[] = [
  {
    name: 'bpf',

    why: 'programs inside the kernel: reading and changing anything',
    stoppedBy: /^(EPERM|ENOSYS)/,
    code: python`
@way('make a map')
def make():
    # BPF_MAP_CREATE: an array of one 4-byte value.
    attributes = struct.pack('<IIIII', 2, 4, 4, 1, 0).ljust(128, b'\0')
    return f"descriptor {syscall('bpf', 0, attributes, len(attributes))}"

@way('load a socket filter')
def load():
    code = ctypes.create_string_buffer(struct.pack('<BBhiBBhi', 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b'GPL')
    attributes = struct.pack('<IIQQ', 1, 2, ctypes.addressof(code), ctypes.addressof(licence)).ljust(128, b'\0')
    return f"descriptor {syscall('bpf', 5, attributes, len(attributes))}"

@way('list programs')
def listing():
    # BPF_PROG_GET_NEXT_ID from 0; ENOENT says that there is none, which is an answer.
    attributes = ctypes.create_string_buffer(128)
    try:
        syscall('bpf', 11, attributes, 128)
    except FileNotFoundError:
        return 'none yet'
    return 'an id'
`,
  },
]
