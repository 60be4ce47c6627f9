import { type NamedAttack, python } from './attack.ts'

export const rawSockets: readonly NamedAttack[] = [
  {
    name: 'sockets past the network namespace',

    why: 'packets of one’s own making, the hypervisor, the kernel’s crypto and configuration',
    stoppedBy: /^(EPERM|EACCES|EAFNOSUPPORT|EPROTONOSUPPORT)/,
    code: python`
def maker(family, kind, protocol=0):
    def make():
        socket.socket(family, kind, protocol).close()
        return f'{family}/{kind}/{protocol}'
    return make

DGRAM, STREAM, RAW = socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_RAW
NETLINK, PACKET, ALG, VSOCK = 16, 17, 38, 40
way('AF_PACKET raw')(maker(PACKET, RAW, 0x0300))
way('AF_PACKET datagram')(maker(PACKET, DGRAM, 0x0300))
way('raw IPv4')(maker(socket.AF_INET, RAW, 1))
way('raw IPv6')(maker(socket.AF_INET6, RAW, 58))
way('AF_VSOCK')(maker(VSOCK, STREAM))
way('AF_ALG')(maker(ALG, socket.SOCK_SEQPACKET))
way('AF_KEY')(maker(15, RAW, 2))
way('AF_BLUETOOTH')(maker(31, RAW, 1))
way('AF_CAN')(maker(29, RAW, 1))
way('AF_RDS')(maker(21, socket.SOCK_SEQPACKET))
way('AF_TIPC')(maker(30, socket.SOCK_SEQPACKET))
way('AF_SMC')(maker(43, STREAM))
way('AF_XDP')(maker(44, RAW))
way('AF_QIPCRTR')(maker(42, DGRAM))
for name, number in dict(sock_diag=4, nflog=5, xfrm=6, selinux=7, iscsi=8, audit=9, connector=11, netfilter=12, kobject_uevent=15, generic=16, crypto=21).items():
    way(f'netlink {name}')(maker(NETLINK, RAW, number))

@way('type bits that hide the family')
def hidden():
    # The kernel looks at the lower half of each number only.
    import platform
    number = 41 if X86 else 198
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), ctypes.c_long(1 << 32 | PACKET), ctypes.c_long(RAW), ctypes.c_long(0x0300))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

@way('steering the interface')
def interface():
    import fcntl
    # SIOCSIFFLAGS of lo, with the flags that it has.
    with socket.socket(socket.AF_INET, DGRAM) as one:
        request = bytearray(struct.pack('16sH22x', b'lo', 0))
        fcntl.ioctl(one, 0x8913, request)
        fcntl.ioctl(one, 0x8914, bytes(request))
    return 'flags set'

@way('binding to an interface')
def bind():
    with socket.socket(socket.AF_INET, DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, 36, struct.pack('I', 1))
    return 'SO_MARK'
`,
    // Most kernels build address families as modules, and not all of them are present.
    missing: Object.fromEntries(
      [
        'AF_VSOCK',
        'AF_ALG',
        'AF_KEY',
        'AF_BLUETOOTH',
        'AF_CAN',
        'AF_RDS',
        'AF_TIPC',
        'AF_SMC',
        'AF_XDP',
        'AF_QIPCRTR',
        'netlink nflog',
        'netlink xfrm',
        'netlink selinux',
        'netlink iscsi',
        'netlink audit',
        'netlink connector',
        'netlink netfilter',
        'netlink crypto',
      ].map((name) => [name, /^(EAFNOSUPPORT|EPROTONOSUPPORT|ESOCKTNOSUPPORT)/]),
    ),
  },
]
