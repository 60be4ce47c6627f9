import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { SpecHost } from '../walls/home.ts'
import { Guest } from './guest.ts'

// The root of a daemon's sandbox is the sandbox's own: root inside changes what it likes of it, and nobody else sees anything of that.

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open({ env: { CAISSON_FROZEN_GRACE_MS: '600000' } })
})
afterAll(() => daemon[Symbol.asyncDispose]())

const CHANGE = [
  'set -e; sudo sh -e <<"end"',
  'mkdir /app; echo app > /app/file; chown user /app/file',
  'echo opt > /opt/file; printf "#!/bin/sh\\necho ran\\n" > /usr/local/bin/tool; chmod 755 /usr/local/bin/tool',
  'echo "192.0.2.7 db.internal" >> /etc/hosts; echo mine > /etc/mine',
  'rm /usr/share/common-licenses/GPL-3; mv /usr/bin/tac /usr/bin/cat-backwards; echo more >> /usr/lib/os-release; ln /usr/bin/tr /usr/local/bin/tr2',
  'end',
].join('\n')
const LOOK = [
  'stat -c "%U %a %n" /app/file /opt/file /usr/local/bin/tool /etc/mine /usr/bin/cat-backwards',
  'tool; echo ab | tr2 a b; tail -1 /usr/lib/os-release; getent hosts db.internal',
  'ls /usr/share/common-licenses/GPL-3 /usr/bin/tac 2>&1 | wc -l',
].join('; ')
const CHANGED = `user 644 /app/file
root 644 /opt/file
root 755 /usr/local/bin/tool
root 644 /etc/mine
root 755 /usr/bin/cat-backwards
ran
bb
more
192.0.2.7       db.internal
2
`
/** What must be right wherever a root comes up: names of its own, and its lines first in /etc/hosts. */
const OWN = 'head -1 /etc/hosts | cut -d" " -f3; cat /etc/hostname; hostname; getent hosts "$(hostname)" | grep -c . ; sudo -n true 2>&1'

async function copies(guest: Guest): Promise<Record<string, Guest>> {
  const snapshot = (await (await guest.ask('POST', '/snapshots', {})).json()) as { snapshotID: string }
  const [fork] = (await (await guest.ask('POST', '/fork', { count: 1, timeout: 120 })).json()) as [
    { sandbox: { sandboxID: string; envdAccessToken: string } },
  ]
  return { snapshot: await Guest.create(daemon, { templateID: snapshot.snapshotID }), fork: new Guest(daemon, fork.sandbox) }
}

test('what root changes is there in this sandbox alone, and goes where its disk goes', async () => {
  const guest = await Guest.create(daemon)
  const before = [await readFile('/etc/hosts', 'utf8'), await readFile('/usr/lib/os-release', 'utf8'), (await stat('/usr/bin/tac')).ino]
  expect(await guest.run(CHANGE)).toBe('')
  expect(await guest.run(LOOK)).toBe(CHANGED)
  const neighbour = await Guest.create(daemon)
  expect(await neighbour.run('ls /app /opt/* /usr/local/bin/* /etc/mine 2>/dev/null; which tac')).toBe('/usr/bin/tac\n')
  expect([await readFile('/etc/hosts', 'utf8'), await readFile('/usr/lib/os-release', 'utf8'), (await stat('/usr/bin/tac')).ino]).toEqual(
    before,
  )

  for (const [how, copy] of Object.entries(await copies(guest))) {
    expect([how, await copy.run(LOOK)]).toEqual([how, CHANGED])
    expect([how, await copy.run(OWN)]).toEqual([how, `${copy.id}\n${copy.id}\n${copy.id}\n1\n`])
    await copy.run('sudo rm /opt/file')
    expect((await copy.ask('DELETE', '')).status).toBe(204)
  }
  for (const memory of [true, false]) {
    expect((await guest.ask('POST', '/pause', { memory })).status).toBe(204)
    expect((await guest.ask('POST', '/connect', { timeout: 120 })).status).toBe(201)
    expect([memory, await guest.run(LOOK)]).toEqual([memory, CHANGED])
    expect([memory, await guest.run(OWN)]).toEqual([memory, `${guest.id}\n${guest.id}\n${guest.id}\n1\n`])
  }
})

test('what a disk holds where the wall is to write leads nowhere', async () => {
  const lure = await mkdtemp(join(tmpdir(), 'cai-lure-'))
  try {
    const guest = await Guest.create(daemon)
    await guest.run(`sudo sh -c 'rm -rf /run/e2b && ln -s ${lure} /run/e2b'`)
    expect((await guest.ask('POST', '/pause', { memory: false })).status).toBe(204)
    expect((await guest.ask('POST', '/connect', { timeout: 120 })).status).toBe(201)
    expect([await readdir(lure), await guest.run('readlink /run/e2b')]).toEqual([[], `${lure}\n`])
    expect(await guest.run(`sudo sh -c 'rm -rf /etc && ln -s ${lure} /etc'; ls -d /etc/ 2>&1`)).toContain('cannot access')
    expect((await guest.ask('POST', '/pause', { memory: false })).status).toBe(204)
    // The link gives way: the template's own is there again.
    expect((await guest.ask('POST', '/connect', { timeout: 120 })).status).toBe(201)
    expect(await guest.run('stat -c %F /etc; grep -c localhost /etc/hosts')).toBe('directory\n2\n')
    expect(await readdir(lure)).toEqual([])
    expect((await guest.ask('DELETE', '')).status).toBe(204)
  } finally {
    await rm(lure, { recursive: true, force: true })
  }
})

test('packages install, under sudo, without the network', async () => {
  const guest = await Guest.create(daemon)
  const made = await guest.run(
    [
      'mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin /tmp/p/etc && cd /tmp',
      'printf "#!/bin/sh\\necho hello from the package\\n" > p/usr/bin/caisson-hello && chmod 755 p/usr/bin/caisson-hello && echo 1 > p/etc/caisson-hello.conf',
      'printf "Package: caisson-hello\\nVersion: $V\\nArchitecture: all\\nMaintainer: x <x@example>\\nDepends: libc6\\nDescription: x\\n" > p/DEBIAN/control',
      'printf "#!/bin/sh\\nid -un > /var/lib/installed-by\\n" > p/DEBIAN/postinst && chmod 755 p/DEBIAN/postinst',
      'dpkg-deb -b p caisson-hello.deb && sed -i s/1.0/2.0/ p/DEBIAN/control && dpkg-deb -b p caisson-hello-2.deb',
    ]
      .join('; ')
      .replace('$V', '1.0'),
  )
  expect(made).not.toContain('exit')
  expect(await guest.run('sudo dpkg -i /tmp/caisson-hello.deb 2>&1 && caisson-hello && cat /var/lib/installed-by')).toMatch(
    /Setting up caisson-hello \(1\.0\)[\s\S]*hello from the package\nroot\n$/,
  )
  expect(await guest.run('cd /tmp && sudo apt-get install -y ./caisson-hello-2.deb 2>&1 && dpkg-query -W caisson-hello')).toMatch(
    /Setting up caisson-hello \(2\.0\)[\s\S]*caisson-hello\t2\.0\n$/,
  )
  // One that the machine has: its files make way, as at every upgrade.
  const again = 'cd /tmp && mkdir q && for f in $(dpkg -L hostname | grep bin/hostname); do install -D $f q$f; done'
  const control =
    'mkdir q/DEBIAN && dpkg -s hostname | grep -E "^(Package|Maintainer|Architecture|Depends|Essential|Pre-Depends):" > q/DEBIAN/control'
  const rest =
    'printf "Version: 99\\nDescription: x\\n" >> q/DEBIAN/control && dpkg-deb -b q h.deb && sudo dpkg -i h.deb && hostname && dpkg-query -W hostname'
  expect(await guest.run(`{ ${again} && ${control} && ${rest}; } 2>&1`)).toMatch(new RegExp(`${guest.id}\nhostname\t99\n$`))
  expect(await guest.run('sudo adduser --system --group --no-create-home svc 2>&1 >/dev/null; id -un svc; sudo -u svc id -un')).toBe(
    'svc\nsvc\n',
  )
  // Rules of pip for systems that somebody looks after do not hold here.
  const wheel = [
    'import zipfile, sys',
    'with zipfile.ZipFile("/tmp/hello_caisson-1.0-py3-none-any.whl", "w") as z:',
    '  z.writestr("hello_caisson.py", "word = 42")',
    '  z.writestr("hello_caisson-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: hello-caisson\\nVersion: 1.0\\n")',
    '  z.writestr("hello_caisson-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")',
    '  z.writestr("hello_caisson-1.0.dist-info/RECORD", "")',
  ].join('\n')
  const pip = `cat > /tmp/w.py <<'end'\n${wheel}\nend\npython3 /tmp/w.py && sudo /usr/bin/python3 -m pip install --no-index /tmp/hello_caisson-1.0-py3-none-any.whl 2>&1`
  expect(
    await guest.run(`${pip} && /usr/bin/python3 -c 'import hello_caisson; print(hello_caisson.__file__, hello_caisson.word)'`),
  ).toMatch(/\/usr\/local\/lib\/python[0-9.]+\/dist-packages\/hello_caisson\.py 42\n$/)
})

describe('the limit of the disk', () => {
  let host: SpecHost
  beforeAll(async () => {
    host = await SpecHost.open()
  })
  afterAll(() => host[Symbol.asyncDispose]())

  test.each([
    ['bytes', 'head -c 200M /dev/zero > /opt/big'],
    ['files', 'mkdir /opt/many; cd /opt/many; i=0; while : > $i; do i=$((i+1)); done'],
    ['copies of what lies below', 'cd /usr/share; find . -type f -exec touch {} +'],
  ])('holds for %s', async (_, fill) => {
    const signal = new AbortController().signal
    const held = await host.door.create({ profile: 'e2b', template: 'base', diskMiB: 48, leash: 'host', timeoutMs: 120_000 }, signal)
    const full = await held.start({ command: 'sh', args: ['-c', `{ ${fill}; } 2>&1`], user: 'root' }, signal)
    let said = ''
    for await (const { bytes } of full.output) said = (said + Buffer.from(bytes).toString()).slice(-1000)
    expect(said).toMatch(/No space left on device/)
    expect(await full.exit).toMatchObject({ limit: 'disk' })
    const after = await held.start({ command: 'sh', args: ['-c', 'rm -rf /opt/*'], user: 'root' }, signal)
    for await (const _ of after.output);
    expect(await after.exit).toMatchObject({ exitCode: 0 })
    await held.kill(signal)
  })
})
