import { existsSync } from 'node:fs'
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RemoteDoor, Sandbox, type SandboxOptions } from '../../client/index.ts'
import { Workspaces } from '../../host/sandbox/workspaces.ts'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { Canary } from '../airlock/servers.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from '../walls/every-wall.ts'
import { SpecHost } from '../walls/home.ts'

// What is left in a workspace of Replit's is there the next time; https://docs.replit.com is walked in its order: open, install, serve, leave, come back.

let host: SpecHost
let addresses: OwnAddresses
beforeAll(async () => {
  addresses = await OwnAddresses.open(1)
  host = await SpecHost.open()
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
  await addresses[Symbol.asyncDispose]()
})

const opened = (workspace?: string, more: SandboxOptions = {}) =>
  Sandbox.create({ profile: 'workspace', door: host.door, ...(workspace === undefined ? {} : { workspace }), ...more })

async function said(sandbox: Sandbox, command: string, user = 'user'): Promise<string> {
  const { stdout, stderr } = await sandbox.commands.run(['sh', '-c', command], { user })
  return stdout + stderr
}

/** Of a sandbox that runs: whoever holds the socket on which its keeper is asked. */
async function keeperOf(id: string): Promise<number> {
  const path = join(host.home, 'sandboxes', id, 'keeper.sock')
  const line = (await readFile('/proc/net/unix', 'utf8')).split('\n').find((one) => one.endsWith(` ${path}`))
  const wanted = `socket:[${line?.trim().split(/\s+/)[6]}]`
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const fd of fds) if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')) === wanted) return Number(pid)
  }
  throw new Error(`nobody holds ${path}`)
}

describe('a day in a workspace', () => {
  test('what was written, installed and set up is there the next time, and belongs to whom it belonged', async () => {
    const first = await opened()
    await said(first, 'mkdir app; echo "print(6 * 7)" >app/main.py; chmod 640 app/main.py; echo "alias l=ls" >>.bashrc; echo t >/tmp/t')
    expect(await said(first, 'sudo sh -c "echo \\"#!/bin/sh\\necho a tool\\" >/usr/local/bin/tool; chmod 755 /usr/local/bin/tool"')).toBe(
      '',
    )
    expect(await said(first, 'python3 app/main.py; tool')).toBe('42\na tool\n')
    await first.kill()
    await using second = await opened()
    expect(second.id).not.toBe(first.id)
    expect(await said(second, 'stat -c "%U %a" app/main.py; python3 app/main.py; tool; tail -1 .bashrc')).toBe(
      'user 640\n42\na tool\nalias l=ls\n',
    )
    expect((await second.runCode('open("app/main.py").read()')).text).toContain('6 * 7')
  })

  test('the network is open, and the machine’s own is not', async () => {
    using canary = await Canary.open((peer) => peer.end('of the host'), addresses.v4[0])
    await using sandbox = await opened('net')
    expect(await said(sandbox, `bash -c 'cat </dev/tcp/${addresses.v4[0]}/${canary.port}' 2>/dev/null; echo .`)).toBe('.\n')
    expect(canary.connections).toBe(0)
    expect((await host.door.plan({ profile: 'workspace' }, new AbortController().signal)).network).toMatchObject({
      mode: 'gate',
      policy: { mode: 'open' },
    })
  })

  test('its time is a working day', async () => {
    const { limits } = await host.door.plan({ profile: 'workspace' }, new AbortController().signal)
    expect(limits).toMatchObject({ wallMs: 12 * 3_600_000, onHit: 'report' })
  })

  test('several are several, and know nothing of each other', async () => {
    await using one = await opened('one')
    await using two = await opened('two')
    await said(one, 'echo of one >note')
    expect(await said(two, 'ls -A; find /home /root /tmp /opt /var -name note 2>/dev/null')).not.toContain('note')
  })
})

describe('whatever ends it', () => {
  test('its time', async () => {
    const sandbox = await opened('timed', { timeoutMs: 1500 })
    await said(sandbox, 'echo kept >note')
    await sandbox.ended
    await using next = await opened('timed')
    expect(await said(next, 'cat note')).toBe('kept\n')
  })

  test('the death of its keeper', async () => {
    const sandbox = await opened('killed')
    await said(sandbox, 'echo kept >note; sync')
    process.kill(await keeperOf(sandbox.id), 'SIGKILL')
    expect((await sandbox.ended).reason).toBe('crash')
    expect(existsSync(join(host.home, 'sandboxes', sandbox.id))).toBe(false)
    await using next = await opened('killed')
    expect(await said(next, 'cat note')).toBe('kept\n')
  })

  onWall('gvisor', () => {
    test('a launch that fails, behind a stronger wall than it was written behind: nobody was in it', async () => {
      await (await opened('stronger', { wall: 'container' })).kill()
      // No file has a name of 256 bytes.
      const failing: SandboxOptions = { wall: 'gvisor', mounts: [{ source: '/usr/share', target: `/opt/${'x'.repeat(256)}`, mode: 'ro' }] }
      for (const name of ['stronger', 'new']) await expect(opened(name, failing)).rejects.toMatchObject({ code: 'LAUNCH_FAILED' })
      for (const name of ['stronger', 'new']) await (await opened(name, { wall: 'container' })).kill()
      await (await opened('stronger', { wall: 'gvisor' })).kill()
      await expect(opened('stronger', { wall: 'container' })).rejects.toMatchObject({ code: 'WALL_TOO_WEAK' })
    })
  })

  test('a launch that fails leaves it as it was', async () => {
    await (await opened('failing')).kill()
    await expect(opened('failing', { template: 'none-such' })).rejects.toMatchObject({ code: 'TEMPLATE_UNKNOWN' })
    await expect(opened('failing', { mounts: [{ source: '/usr/share', target: '/home/user/../x', mode: 'ro' }] })).rejects.toBeInstanceOf(
      Error,
    )
    await using next = await opened('failing')
    expect(await said(next, 'echo stands')).toBe('stands\n')
  })
})

// Its root inside may do what it likes; whose it is comes in again, and finds what else there was.
describe('whatever was done to it', () => {
  const fill = 'cat /dev/zero >/root/all 2>/dev/null; i=0; while : >/root/$i; do i=$((i+1)); done 2>/dev/null'
  test.each([
    ['its own files were removed', 'rm /etc/hosts /etc/hostname /etc/machine-id', ''],
    ['folders are in their place', 'rm /etc/hosts; mkdir /etc/hosts; echo mine >/etc/hosts/mine', 'cat /etc/hosts.before-1/mine'],
    ['/etc was removed', 'rm -rf /etc', ''],
    ['/etc leads elsewhere', 'mv /etc /etc2; echo mine >/etc2/mine; ln -s etc2 /etc', 'cat /etc2/mine'],
    ['its disk is full', fill, 'rm /root/all; echo mine'],
    ['its disk is full, and its own files are gone', `rm /etc/hosts /etc/hostname /etc/machine-id; ${fill}`, 'rm /root/all; echo mine'],
  ])('%s', async (name, deed, found) => {
    const workspace = name.replaceAll(/[^a-z]/g, '')
    const first = await opened(workspace, { diskMiB: 32 })
    await said(first, 'echo kept >note; sync')
    await said(first, deed, 'root')
    await first.kill()
    const second = await opened(workspace)
    expect(await said(second, `cat /home/user/note; ${found}`, 'root')).toBe(found === '' ? 'kept\n' : 'kept\nmine\n')
    await second.kill()
    await using third = await opened(workspace)
    expect(await said(third, 'grep -c localhost /etc/hosts; cat /etc/hostname; cat note')).toBe(`2\n${third.id}\nkept\n`)
  })
})

describe('what it may not', () => {
  test('two at a time: the second is told who has it, and nothing is lost', async () => {
    const first = await opened('shared')
    await said(first, 'echo kept >note')
    await expect(opened('shared')).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining(first.id) })
    expect(await said(first, 'cat note')).toBe('kept\n')
    await first.kill()
    const both = await Promise.allSettled([opened('shared'), opened('shared')])
    const stands = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    expect(stands.length).toBe(1)
    expect(await said(stands[0] as Sandbox, 'cat note')).toBe('kept\n')
    await stands[0]?.kill()
  })

  test('go behind a weaker wall, or take another size; a profile that keeps nothing has none', async () => {
    await (await opened('sized')).kill()
    await expect(opened('sized', { diskMiB: 64 })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: /diskMiB: .* 4096 MiB/ })
    await writeFile(join(host.home, 'workspaces/operator/sized.json'), '{"wall":"gvisor"}')
    await expect(opened('sized')).rejects.toMatchObject({ code: 'WALL_TOO_WEAK', message: expect.stringContaining('gvisor') })
    await writeFile(join(host.home, 'workspaces/operator/sized.json'), 'gvisor')
    await expect(opened('sized')).rejects.toMatchObject({ code: 'HOME_UNUSABLE', message: expect.stringContaining('sized.json') })
    // One that has lost it may have been written behind any wall.
    await rm(join(host.home, 'workspaces/operator/sized.json'))
    await expect(opened('sized')).rejects.toMatchObject({ code: 'HOME_UNUSABLE', message: expect.stringContaining('sized.json') })
    expect((await new Workspaces(host.home).list()).find(({ name }) => name === 'sized')).toMatchObject({ wall: null, sandbox: null })
    await writeFile(join(host.home, 'workspaces/operator/sized.json'), '{"wall":"container"}')
    await (await opened('sized')).kill()
    await expect(opened('../other')).rejects.toMatchObject({ code: 'BAD_REQUEST', message: expect.stringContaining('workspace: must be') })
    await expect(Sandbox.create({ profile: 'default', workspace: 'one', door: host.door })).rejects.toMatchObject({
      code: 'BAD_REQUEST',
      message: 'workspace: profile default keeps no files',
    })
  })

  test('lose its disk unseen', async () => {
    await writeFile(join(host.home, 'workspaces/operator/lost.json'), '{"wall":"container"}')
    await expect(opened('lost')).rejects.toMatchObject({ code: 'CONFLICT', message: expect.stringContaining('lost its disk') })
  })
})

describe('with a daemon', () => {
  test('it is the owner’s, outlives its sandbox, and is never paused; nobody else has it', async () => {
    await using daemon = await SpecDaemon.open()
    const made = await daemon.fetch('/caisson/v1/keys', { method: 'POST', body: JSON.stringify({ owner: 'bob' }) })
    const { key } = (await made.json()) as { key: string }
    const [alice, bob] = [new RemoteDoor({ url: daemon.url, key: daemon.key }), new RemoteDoor({ url: daemon.url, key })]
    const first = await Sandbox.create({ profile: 'workspace', door: alice })
    await said(first, 'echo of alice >note')
    await expect(Sandbox.create({ profile: 'workspace', door: alice })).rejects.toMatchObject({ code: 'CONFLICT' })
    const paused = await daemon.fetch(`/sandboxes/${first.id}/pause`, { method: 'POST', body: '{}' })
    expect(await paused.text()).toContain('not paused')
    await using other = await Sandbox.create({ profile: 'workspace', door: bob })
    expect(await said(other, 'ls')).toBe('')
    await first.kill()
    await using second = await Sandbox.create({ profile: 'workspace', door: alice })
    expect(await said(second, 'cat note')).toBe('of alice\n')
  })
})
