import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RemoteDoor, Sandbox } from '../../client/index.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { OwnAddresses } from './own-addresses.ts'
import { Canary } from './servers.ts'

/** Tries both servers without a pause, from its first moment on, and counts what it reached. */
const PROGRAM = `
import json, os, socket, sys, time
reached = {'open': 0, 'shut': 0, 'tries': 0}
while True:
    for name, address, port in [('shut', *sys.argv[3:5]), ('open', *sys.argv[1:3])]:
        try:
            one = socket.create_connection((address, int(port)), timeout=5)
            one.sendall(b'\\x00')
            if one.recv(1):
                reached[name] += 1
            one.close()
        except OSError:
            pass
    reached['tries'] += 1
    open('/tmp/reached.new', 'w').write(json.dumps(reached))
    os.rename('/tmp/reached.new', '/tmp/reached')
    time.sleep(0.002)
`

describe.runIf(process.getuid?.() === 0)(
  'there is no moment without rules (this spec adds addresses to the loopback, and needs root for it)',
  () => {
    let own: OwnAddresses
    let daemon: SpecDaemon
    beforeAll(async () => {
      own = await OwnAddresses.open(2)
    })
    afterAll(async () => {
      await daemon?.[Symbol.asyncDispose]()
      await own?.[Symbol.asyncDispose]()
    })

    test('from before the first process, through pauses, boots, other rules, and the death of daemons', async () => {
      const reply = (peer: Socket) => peer.on('data', () => peer.end('x'))
      const [one = '', two = ''] = own.v4
      using open = await Canary.open(reply, one)
      using shut = await Canary.open(reply, two)
      const env = { CAISSON_ALLOW_PRIVATE: `${one}:${open.port},${two}:${shut.port}`, CAISSON_POOL: '1' }
      daemon = await SpecDaemon.open({ env })
      const door = () => new RemoteDoor({ url: daemon.url, key: daemon.key })
      const rules = { mode: 'open', allow: [`${one}:${open.port}`] } as const
      const first = await Sandbox.create({ door: door(), profile: 'e2b', template: 'base', timeoutMs: 600_000, network: rules })
      let sandbox = first
      const begin = async () => {
        await sandbox.files.write('/tmp/try.py', PROGRAM)
        await sandbox.commands.run(`(setsid python3 /tmp/try.py ${one} ${open.port} ${two} ${shut.port} >/tmp/said 2>&1 &)`)
      }
      const goesOn = async () => {
        const before = open.connections
        await expect.poll(() => open.connections, { timeout: 30_000 }).toBeGreaterThan(before)
      }
      await begin()
      await goesOn()
      // Held still, and going on.
      await sandbox.pause()
      await sandbox.resume({ timeoutMs: 600_000 })
      await goesOn()
      // The daemon is killed, and the next one takes it over.
      await daemon.stop('SIGKILL')
      daemon = await daemon.again({ env, port: Number(new URL(daemon.url).port) })
      await goesOn()
      // Other rules and back, while it tries.
      sandbox = await Sandbox.attach(sandbox.id, { door: door() })
      for (const body of [{ denyOut: ['0.0.0.0/0'] }, { allowOut: [one] }, {}, { allowOut: [one], denyOut: ['0.0.0.0/0'] }]) {
        const { status } = await daemon.fetch(`/sandboxes/${sandbox.id}/network`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
        expect(status).toBe(204)
      }
      await goesOn()
      // A fork begins with files alone, and so does one that was paused without its memory.
      const [fork] = await sandbox.fork()
      const paused = await daemon.fetch(`/sandboxes/${sandbox.id}/pause`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ memory: false }),
      })
      expect(paused.status).toBe(204)
      await sandbox.resume({ timeoutMs: 600_000 })
      await begin()
      await goesOn()
      if (fork === undefined) throw new Error('no fork')
      sandbox = fork
      await begin()
      await goesOn()
      expect([shut.connections, shut.bytes]).toEqual([0, 0])
      // It was tried all the while, and would have answered.
      const { shut: heard, tries } = JSON.parse(await sandbox.files.read('/tmp/reached'))
      expect([heard, tries > 0]).toEqual([0, true])
      await daemon.fetch(`/sandboxes/${sandbox.id}/network`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ allowOut: [two] }),
      })
      await expect.poll(() => shut.connections, { timeout: 30_000 }).toBeGreaterThan(0)
    })
  },
)
