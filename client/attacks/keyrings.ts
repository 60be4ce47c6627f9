import { type NamedAttack, python } from './attack.ts'

export const keyrings: readonly NamedAttack[] = [
  {
    name: 'kernel keyrings',

    why: 'keys of other users and of the host lie there, and no namespace keeps them apart (CVE-2022-0185 began here)',
    stoppedBy: /^(EPERM|EACCES|ENOSYS|empty)/,
    code: python`
PROCESS, SESSION, USER = -2, -3, -4

@way('add_key')
def add():
    return f"key {syscall('add_key', b'user', b'caisson-attack', b'x', 1, PROCESS)}"

@way('keyctl')
def keyctl():
    # KEYCTL_GET_KEYRING_ID, making it when it is missing.
    return f"keyring {syscall('keyctl', 0, PROCESS, 1)}"

@way('a new session')
def session():
    return f"keyring {syscall('keyctl', 1, None)}"

@way('request_key')
def request():
    syscall('add_key', b'user', b'caisson-attack', b'x', 1, PROCESS)
    return f"key {syscall('request_key', b'user', b'caisson-attack', None, 0)}"

@way('/proc/keys')
def listing():
    syscall('keyctl', 0, USER, 1) if not os.path.exists('/caisson') else None
    with open('/proc/keys') as file:
        found = file.read()
    if not found:
        raise Contained('empty')
    return found
`,
  },
]
