import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, realpath, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Clone, ended } from './clone.ts'

const stepsOf = async (clone: Clone) => (await readFile(clone.steps, 'utf8').catch(() => '')).trim().split('\n')

const FIRST = 'caisson: setting up this clone; the first time takes a few minutes\n'

/** A process that has ended and that nobody has asked about is not alive (proc_pid_stat(5): the third field). */
async function living(pid: number): Promise<boolean> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z')
  return !/\) [ZX]/.test(line)
}

/** A time stamp in the future makes a file newer than what was made of it, without waiting. */
async function touch(path: string): Promise<void> {
  const later = new Date(Date.now() + 5000)
  await utimes(path, later, later)
}

test('a bare clone is set up, then the words go on to the command line', async () => {
  await using clone = await Clone.make()
  expect(await clone.run(['run', '-c', 'print(1)'])).toEqual({ status: 0, stdout: 'ran run -c print(1)\n', stderr: FIRST })
  expect((await stepsOf(clone)).sort()).toEqual(['bundles', 'native', 'packages', 'templates'])
  expect((await stat(clone.state)).mode & 0o777).toBe(0o700)
})

test('whoever keeps what they make to themselves makes for sandboxes what those can read', async () => {
  await using clone = await Clone.make()
  await writeFile(clone.at('strict'), `umask 077\nexec /bin/bash '${clone.at('caisson')}' "$@"\n`)
  // Of a set-up before.
  await mkdir(clone.at('dist/runtimes'), { recursive: true, mode: 0o700 })
  await writeFile(clone.at('dist/runtimes/main.py'), '', { mode: 0o600 })
  expect((await clone.run(['setup'], {}, clone.at('strict'))).status).toBe(0)
  const made = ['native/bin', 'dist', 'dist/setup.mjs', 'dist/runtimes', 'dist/runtimes/main.py']
  const modes = await Promise.all(made.map(async (path) => (await stat(clone.at(path))).mode & 0o777))
  expect(modes).toEqual([0o755, 0o755, 0o644, 0o755, 0o644])
  expect((await stat(clone.state)).mode & 0o777).toBe(0o700)
})

test('with all in place nothing is started but find and the command line', async () => {
  await using clone = await Clone.make()
  await clone.run(['setup'])
  const before = await stepsOf(clone)
  for (const gone of ['npm', 'cargo', 'cc', 'awk', 'flock', 'mkdir', 'sort', 'touch', 'sleep']) await clone.program(gone, null)
  expect(await clone.run(['run', 'x.py'])).toEqual({ status: 0, stdout: 'ran run x.py\n', stderr: '' })
  expect(await stepsOf(clone)).toEqual(before)
})

test.each([
  ['package-lock.json', ['packages', 'bundles']],
  ['wire/a.ts', ['bundles']],
  ['native/a.rs', ['native']],
  ['wire/agent.proto', ['bundles']],
  ['templates/code-interpreter/requirements.txt', ['templates']],
])('a newer %s makes what depends on it', async (file, made) => {
  await using clone = await Clone.make()
  await clone.run(['setup'])
  await rm(clone.steps)
  await touch(clone.at(file))
  await clone.run(['setup'])
  expect(await stepsOf(clone)).toEqual(expect.arrayContaining(made))
})

test('a source that is gone counts as a change', async () => {
  await using clone = await Clone.make()
  await clone.run(['setup'])
  await rm(clone.steps)
  await rm(clone.at('wire/a.ts'))
  await touch(clone.at('wire'))
  await clone.run(['setup'])
  expect(await stepsOf(clone)).toContain('bundles')
})

test('help and doctor need neither native programs nor templates, what makes no sandbox no template; template base needs no Python', async () => {
  await using clone = await Clone.make()
  expect((await clone.run(['--help'])).stdout).toBe('ran --help\n')
  expect((await clone.run(['doctor'])).status).toBe(0)
  expect(await stepsOf(clone)).toEqual(['packages', 'bundles'])
  for (const verb of ['audit', 'profile', 'scan', 'secret', 'workspace']) expect((await clone.run([verb])).status, verb).toBe(0)
  expect(existsSync(`${clone.state}/templates`)).toBe(false)
  await clone.run(['run', '--template', 'base', '-c', 'x'])
  expect(existsSync(`${clone.state}/templates/base`)).toBe(true)
  expect(existsSync(`${clone.state}/templates/code-interpreter`)).toBe(false)
})

test('setup --help says what it does, and does nothing', async () => {
  await using clone = await Clone.make()
  expect(await clone.run(['setup', '--help'])).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^Usage: caisson setup\n/),
    stderr: '',
  })
  expect(existsSync(clone.steps)).toBe(false)
})

test('a step that fails ends it: status 125, the end of its log, and the next call tries again', async () => {
  await using clone = await Clone.make()
  await clone.program('npm', 'echo the registry is not in the mood >&2; exit 1')
  const failed = await clone.run(['run', 'x.py'])
  expect(failed.status).toBe(125)
  expect(failed.stdout).toBe('')
  expect(failed.stderr).toContain('the registry is not in the mood')
  expect(existsSync(clone.at('dist/caisson.cjs'))).toBe(false)
  await clone.program('npm', 'mkdir -p node_modules; echo >node_modules/.package-lock.json')
  expect((await clone.run(['run', 'x.py'])).stdout).toBe('ran run x.py\n')
})

test('Ctrl-C ends the steps too, and the next call goes on', async () => {
  await using clone = await Clone.make()
  await clone.program('npm', 'echo $$ >"$STEPS.pid"; sleep 600 & wait')
  const child = clone.start(['run', 'x.py'])
  const over = ended(child)
  const npm = async () => Number(await readFile(`${clone.steps}.pid`, 'utf8').catch(() => ''))
  while ((await npm()) === 0) await new Promise((next) => setTimeout(next, 20))
  process.kill(-(child.pid ?? 0), 'SIGINT')
  const { status, stderr } = await over
  expect(status).toBe(130)
  expect(stderr).toContain('interrupted')
  // Killed is not yet dead.
  await expect.poll(async () => living(await npm())).toBe(false)
  await clone.program('npm', 'mkdir -p node_modules; echo >node_modules/.package-lock.json')
  expect((await clone.run(['run', 'x.py'])).stdout).toBe('ran run x.py\n')
})

test('two at once: the second waits for the first and does nothing twice', async () => {
  await using clone = await Clone.make()
  const slow = `echo packages >>"$STEPS"; while [[ ! -e $STEPS.go ]]; do sleep 0.05; done; mkdir -p node_modules; echo >node_modules/.package-lock.json`
  await clone.program('npm', slow)
  const first = ended(clone.start(['run', 'a.py']))
  while (!existsSync(clone.steps)) await new Promise((next) => setTimeout(next, 20))
  const waiting = clone.start(['run', 'b.py'])
  const second = ended(waiting)
  if (waiting.stderr !== null) await once(waiting.stderr, 'data')
  await writeFile(`${clone.steps}.go`, '')
  expect((await first).stdout).toBe('ran run a.py\n')
  expect(await second).toMatchObject({ status: 0, stdout: 'ran run b.py\n', stderr: expect.stringContaining('Waiting for it') })
  expect((await stepsOf(clone)).filter((step) => step === 'packages')).toEqual(['packages'])
})

test.each([
  ['cargo', 'Rust 1.91 or newer'],
  ['node', 'Node 20.18 or newer'],
  ['npm', 'npm'],
  ['cc', 'a C compiler'],
])('without %s, and without packages to install it from: one line says so, and nothing is begun', async (name, words) => {
  await using clone = await Clone.make()
  await clone.program(name, null)
  const { status, stdout, stderr } = await clone.run(['run', 'x.py'])
  expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
  expect(stderr.trim().split('\n')).toHaveLength(1)
  expect(stderr).toContain(words)
  expect(existsSync(clone.steps)).toBe(false)
})

test('without a Python, and without a package to install it from: one line says so', async () => {
  await using clone = await Clone.make()
  // For these processes alone there is none at its place. Their PATH is the clone's, which has no apt.
  const hidden = '/usr/bin/mount --bind /dev/null "$(/usr/bin/readlink -f /usr/bin/python3)" && exec /bin/bash "$@"'
  const enter = `exec /usr/bin/unshare ${process.getuid?.() === 0 ? '-m' : '-rm'} /bin/bash -c '${hidden}' - "$@"`
  const { status, stderr } = await ended(clone.start([enter, '-', clone.at('caisson'), 'run', 'x.py'], {}, '-c'))
  expect({ status, lines: stderr.trim().split('\n').length, stderr }).toMatchObject({
    status: 125,
    lines: 1,
    stderr: expect.stringContaining('Python 3.11 or newer as /usr/bin/python3'),
  })
  expect(existsSync(clone.steps)).toBe(false)
})

test('too old is as good as missing', async () => {
  await using clone = await Clone.make()
  await clone.program('cargo', 'echo "cargo 1.85.1 (x 2025-03-15)"')
  expect((await clone.run(['setup'])).stderr).toContain('Rust 1.91 or newer')
  await clone.program('cargo', 'echo "cargo 1.100.0"')
  expect((await clone.run(['setup'])).status).toBe(0)
})

test.skipIf(process.getuid?.() !== 0)('as root, apt-get is asked for what is missing (only root may install)', async () => {
  await using clone = await Clone.make()
  await clone.program('cargo', null)
  await clone.program('apt-cache', `case "$2" in cargo) v=0.66.0 ;; cargo-web) v=1:1.96.0+dfsg1-1~deb12u2 ;; esac; echo "  Candidate: $v"`)
  const bin = `"\${BASH_SOURCE%/*}"`
  await clone.program(
    'apt-get',
    `echo "$*" >>"$STEPS"; printf '#!/bin/bash\\necho cargo 1.96.0\\n' >${bin}/cargo; /bin/chmod 755 ${bin}/cargo`,
  )
  expect((await clone.run(['setup'])).status).toBe(0)
  expect((await stepsOf(clone))[0]).toBe('install -y --no-install-recommends cargo-web')
})

test.skipIf(process.getuid?.() !== 0)('what is compiled does not wait for packages that it does not need', async () => {
  await using clone = await Clone.make()
  const python = await realpath('/usr/bin/python3')
  await clone.program('apt-cache', 'echo "  Candidate: 3.11.2"')
  // Comes to an end when the other step is at work; and at the latest after a minute.
  const waits = 'for i in {1..600}; do [[ -s $STEPS ]] && break; sleep 0.1; done'
  await clone.program('apt-get', `${waits}; echo "$*" >>"$STEPS"; /usr/bin/umount ${python}`)
  const hidden = `/usr/bin/mount --bind /dev/null ${python} && exec /bin/bash "$@"`
  const { status } = await ended(
    clone.start([`exec /usr/bin/unshare -m /bin/bash -c '${hidden}' - "$@"`, '-', clone.at('caisson'), 'setup'], {}, '-c'),
  )
  expect(status).toBe(0)
  const steps = await stepsOf(clone)
  expect(steps.slice(0, 2)).toEqual(['native', 'install -y --no-install-recommends python3 python3-venv'])
  expect(steps.slice(2)).toEqual(['packages', 'bundles', 'templates'])
})

test.skipIf(process.getuid?.() !== 0)('what is offered is seen, however much is said about it', async () => {
  await using clone = await Clone.make()
  await clone.program(
    'apt-cache',
    'echo "  Candidate: 0.0~20221219.0-2+b3"; for ((i = 0; i < 20000; i++)); do echo "     500 file:/a/list"; done',
  )
  await clone.program('apt-get', 'echo "$*" >>"$STEPS"; /usr/bin/umount -l /usr/bin')
  // For these processes alone the machine lacks runsc, until it is installed.
  const lacking =
    'm() { /usr/bin/mount "$@"; } && m -t tmpfs none /mnt && /usr/bin/mkdir /mnt/{up,work} && ' +
    'm -t overlay -o lowerdir=/usr/bin,upperdir=/mnt/up,workdir=/mnt/work none /usr/bin && /usr/bin/rm -f /usr/bin/runsc && exec /bin/bash "$@"'
  const { status, stderr } = await ended(
    clone.start([`exec /usr/bin/unshare -m /bin/bash -c '${lacking}' - "$@"`, '-', clone.at('caisson'), 'setup'], {}, '-c'),
  )
  expect({ status, stderr }).toMatchObject({ status: 0 })
  expect(await stepsOf(clone)).toContain('install -y --no-install-recommends runsc')
  expect(await stepsOf(clone)).not.toContain('-qq update')
})

test('a state folder that cannot be made is said at once', async () => {
  await using clone = await Clone.make()
  const { status, stderr } = await clone.run(['setup'], { CAISSON_HOME: '/proc/nowhere' })
  expect(status).toBe(125)
  expect(stderr).toContain('/proc/nowhere cannot be made')
  expect((await clone.run(['setup'], { CAISSON_HOME: '' })).stderr).toContain('neither HOME nor CAISSON_HOME is set')
})

test('it may be called from anywhere, and by another name', async () => {
  await using clone = await Clone.make()
  await clone.run(['setup'])
  await clone.program('node', 'echo "$1"')
  const link = `${clone.steps}.link`
  await symlink(clone.at('caisson'), link)
  expect((await clone.run(['ps'], {}, link)).stdout).toBe(`${clone.at('dist/caisson.cjs')}\n`)
  expect((await clone.run(['ps'], {}, 'clone/caisson')).stdout).toBe(`${clone.at('dist/caisson.cjs')}\n`)
})
