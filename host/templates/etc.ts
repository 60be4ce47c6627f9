import { createHash } from 'node:crypto'
import { chmod, copyFile, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

const SESSION = 'account required pam_permit.so\nsession required pam_permit.so\n'
const ANYONE = `auth required pam_permit.so\n${SESSION}`

/** A generated /etc: the sandbox's own accounts, names and shells, and from the host only what programs below /usr need and every host user may read anyway. */
const WRITTEN: Readonly<Record<string, string>> = {
  passwd: `root:x:0:0:root:/root:/bin/bash
user:x:1000:1000:user:/home/user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  group: `root:x:0:
tty:x:5:
user:x:1000:
nogroup:x:65534:
`,
  // Some walls preload a library into every program.
  'ld.so.preload': '',
  // Each sandbox mounts its own over these three.
  hostname: 'sandbox\n',
  hosts: '127.0.0.1 localhost\n::1 localhost\n',
  'machine-id': '',
  // No name server: lookups fail at once instead of timing out.
  'resolv.conf': '',
  'nsswitch.conf': 'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n',
  'host.conf': 'multi on\n',
  shells: '/bin/sh\n/bin/bash\n',
  timezone: 'Etc/UTC\n',
  fstab: '',
  networks: 'default 0.0.0.0\nloopback 127.0.0.0\nlink-local 169.254.0.0\n',
  // A new home has no profile, and a terminal runs a login shell. It still reads what installers add to ~/.bashrc.
  profile: `umask 022
if [ -n "$BASH_VERSION" ] && [ -n "$PS1" ]; then
  . /etc/bash.bashrc
  if [ -r ~/.bashrc ] && [ ! -e ~/.bash_profile ] && [ ! -e ~/.bash_login ] && [ ! -e ~/.profile ]; then . ~/.bashrc; fi
fi
`,
  'bash.bashrc': `case $- in *i*) ;; *) return ;; esac
PS1='\\u@\\h:\\w\\$ '
alias ls='ls --color=auto' grep='grep --color=auto'
`,
  // For sandboxes in which set-uid programs work (profile: noNewPrivileges). No other PAM service lets anyone in.
  'pam.d/sudo': ANYONE,
  'pam.d/sudo-i': ANYONE,
  'pam.d/su': `auth sufficient pam_rootok.so\nauth required pam_deny.so\n${SESSION}`,
  'pam.d/su-l': `auth sufficient pam_rootok.so\nauth required pam_deny.so\n${SESSION}`,
  'pam.d/other': 'auth required pam_deny.so\naccount required pam_deny.so\npassword required pam_deny.so\nsession required pam_deny.so\n',
  // sudo must not change the core dump limit: what the wall has set cannot be raised again (native/keeper/src/inside.rs).
  'sudo.conf': 'Set disable_coredump false\nSet probe_interfaces false\n',
}

/** sudo drops the environment of the calling command. */
function sudoers(path: string): string {
  return `Defaults env_reset, !syslog
Defaults secure_path="${path}"
root ALL=(ALL:ALL) NOPASSWD: ALL
user ALL=(ALL:ALL) NOPASSWD: ALL
`
}

const LINKED: Readonly<Record<string, string>> = {
  localtime: '/usr/share/zoneinfo/Etc/UTC',
  mtab: '/proc/self/mounts',
  'os-release': '../usr/lib/os-release',
}

/** Copied from the host; a folder includes everything below. None of these is known to hold addresses, people's names, or passwords. */
const COPIED = [
  /^alternatives$/,
  /^(ld\.so\.cache|ld\.so\.conf|ld\.so\.conf\.d)$/,
  /^(debian_version|lsb-release|redhat-release|alpine-release|arch-release)$/,
  /^(ethertypes|gai\.conf|magic|magic\.mime|mime\.types|protocols|rpc|services|xattr\.conf|locale\.alias|inputrc|papersize)$/,
  /^(fonts|terminfo|vim|groff|perl|gss|sgml|xml|ImageMagick-[0-9]+|R|texmf|OpenCL)$/,
  /^(python[0-9.]*|java-[a-z0-9.-]*)$/,
]
/** Site-specific files of administrators: Renviron.site, vimrc.local. */
const OF_THE_SITE = /\.(site|local)$/
const CERTIFICATES = [
  'ssl/certs',
  'ssl/openssl.cnf',
  'pki/tls/certs',
  'pki/tls/openssl.cnf',
  'pki/ca-trust/extracted',
  'ca-certificates/extracted',
]
const MAX_FILE_BYTES = 8 * 1024 * 1024

/** Names and contents of all generated files, for a sandbox with this PATH. */
export function written(path: string): Record<string, string> {
  return { ...WRITTEN, sudoers: sudoers(path) }
}

/** Makes `etc-HASH` in `folder`, unless it exists, and returns its name. `path`: where sudo looks for programs. */
export async function makeEtc(folder: string, path: string, signal: AbortSignal, host = '/etc'): Promise<string> {
  await mkdir(folder, { recursive: true })
  const fresh = await mkdtemp(join(folder, '.etc-'))
  try {
    const hash = createHash('sha256')
    const names = (await readdir(host)).filter((name) => COPIED.some((allowed) => allowed.test(name)))
    for (const name of [...names, ...CERTIFICATES].sort()) {
      signal.throwIfAborted()
      await copy(join(host, name), join(fresh, name), hash, host)
    }
    for (const [name, content] of Object.entries(written(path))) {
      hash.update(`written ${name} ${content}\n`)
      await mkdir(dirname(join(fresh, name)), { recursive: true })
      await writeFile(join(fresh, name), content, { mode: name === 'sudoers' ? 0o440 : 0o644 })
    }
    for (const [name, to] of Object.entries(LINKED)) {
      hash.update(`linked ${name} ${to}\n`)
      await symlink(to, join(fresh, name))
    }
    const name = `etc-${hash.digest('hex').slice(0, 8)}`
    await chmod(fresh, 0o755)
    if (!(await exists(join(folder, name)))) await rename(fresh, join(folder, name))
    return name
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

/** Copies only files that every host user may read, and links that lead to /usr or stay within /etc. */
async function copy(from: string, to: string, hash: ReturnType<typeof createHash>, host: string): Promise<void> {
  const found = await lstat(from).catch(unreadable)
  if (found === null || OF_THE_SITE.test(from)) return
  if (found.isSymbolicLink()) {
    const target = await readlink(from)
    const leads = resolve(dirname(from), target)
    if (!leads.startsWith('/usr/') && !leads.startsWith(`${host}/`) && !/^\/(bin|sbin|lib)/.test(leads)) return
    hash.update(`link ${from} ${target}\n`)
    await mkdir(dirname(to), { recursive: true })
    await symlink(target, to)
  } else if (found.isDirectory() && (found.mode & 0o005) === 0o005) {
    for (const name of (await readdir(from)).sort()) await copy(join(from, name), join(to, name), hash, host)
  } else if (found.isFile() && (found.mode & 0o004) !== 0 && found.size <= MAX_FILE_BYTES) {
    hash.update(`file ${from} ${found.mode & 0o111}\n`).update(await readFile(from))
    await mkdir(dirname(to), { recursive: true })
    await copyFile(from, to)
    await chmod(to, (found.mode & 0o111) === 0 ? 0o644 : 0o755)
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(unreadable)) !== null
}

function unreadable(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR' || error.code === 'EACCES') return null
  throw error
}
