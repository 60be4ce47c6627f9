import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect } from 'vitest'
import { attack, python, shared } from './attack.ts'

// Root inside may write to all of its root. What lies below that is the host's: it must not be changed through it, and of it nothing must be read
// that is not everybody's on the host.

const wall = shared({ profile: 'e2b' })
const token = randomBytes(12).toString('hex')
/** Root's alone, where administrators put what is theirs. */
const secret = `/usr/local/etc/caisson-secret-${token}`
/** Everybody's. */
const open = `/usr/share/caisson-open-${token}`

beforeAll(async () => {
  await mkdir('/usr/local/etc', { recursive: true })
  await writeFile(secret, token, { mode: 0o600 })
  await writeFile(open, token, { mode: 0o644 })
})
afterAll(() => Promise.all([secret, open].map((path) => rm(path, { force: true }))))

attack(wall, 'what lies below the root', {
  why: 'a layer of the host’s own files is under everything that root inside writes to',
  facts: () => ({ secret, open, token }),
  stoppedBy: /^(ENOENT|EPERM|EACCES|only here|of its own)/,
  untouched: async () => {
    expect(await readFile(secret, 'utf8')).toBe(token)
    expect(await readFile(open, 'utf8')).toBe(token)
    expect(existsSync(`/usr/share/planted-${token}`)).toBe(false)
  },
  mend: () => Promise.all([rm(`/usr/share/planted-${token}`, { force: true }), writeFile(open, token)]).then(() => undefined),
  code: python`
def is_host():
    with open('/proc/self/uid_map') as ranges:
        return ranges.read().split()[2] == '4294967295'

def here_only(what):
    # Inside it works, and the host looks afterwards whether it is as it was.
    if is_host():
        return what
    raise Contained(f'only here: {what}')

@way('what only the host’s root may read')
def read():
    with open(facts['secret']) as file:
        return file.read()

@way('write over a file of everybody’s')
def over():
    with open(facts['open'], 'w') as file:
        file.write('spoiled')
    return here_only('written')

@way('plant one')
def plant():
    with open(f"/usr/share/planted-{facts['token']}", 'x') as file:
        file.write('planted')
    return here_only('planted')

@way('a layer’s mark of one’s own')
def mark():
    # With it, a folder of the upper layer would be shown as another one of the lower.
    os.makedirs(f'{SCRATCH}/marked')
    try:
        os.setxattr(f'{SCRATCH}/marked', 'trusted.overlay.redirect', b'/local/etc')
    finally:
        os.rmdir(f'{SCRATCH}/marked')
    return 'marked'

@way('a layer’s hole of one’s own')
def hole():
    os.mknod(f'{SCRATCH}/hole', 0o020000, os.makedev(1, 3))
    os.unlink(f'{SCRATCH}/hole')
    return 'made'

@way('the host’s passwords')
def passwords():
    with open('/etc/shadow') as file:
        text = file.read()
    if is_host():
        return f'{len(text)} bytes'
    assert all(line.split(':')[1] == '*' for line in text.splitlines()), text
    raise Contained('of its own')
`,
})
