import { describe, expect, test } from 'vitest'
import { base64, begin, collect, EnvdSandbox, type Envelope, printed, start, until } from './envd-sandbox.ts'

const CONNECT = 'process.Process/Connect'
const FOREVER = start('trap "" TERM; while :; do sleep 0.1; done')

/** How a stream ended: with an envelope that says so, or broken off. */
async function endOf(events: AsyncGenerator<Envelope>): Promise<string> {
  try {
    for await (const { flags } of events) if (flags === 2) return 'ended'
    return 'stopped'
  } catch {
    return 'broken off'
  }
}

describe('of a sandbox that is over', () => {
  test('streams break off and health says so: killed, or its time up', async () => {
    await using killed = await EnvdSandbox.open()
    const short = await EnvdSandbox.on(killed.daemon, { timeout: 3 })
    for (const [sandbox, end] of [
      [killed, () => killed.daemon.fetch(`/sandboxes/${killed.id}`, { method: 'DELETE' })],
      [short, async () => undefined],
    ] as const) {
      const command = await begin(sandbox, FOREVER)
      const watch = sandbox.stream('filesystem.Filesystem/WatchDir', { path: '/tmp' })
      await watch.next()
      expect((await sandbox.fetch('/health')).status).toBe(204)
      await end()
      expect(await Promise.all([endOf(command.events), endOf(watch)])).toEqual(['broken off', 'broken off'])
      expect((await sandbox.fetch('/health')).status).toBe(502)
      for (const path of ['/files?path=x', '/metrics']) expect((await sandbox.fetch(path)).status).toBe(502)
      const list = await sandbox.fetch('/process.Process/List', {
        method: 'POST',
        body: '{}',
        headers: { 'content-type': 'application/json' },
      })
      expect(await list.json()).toMatchObject({ code: 502, message: 'The sandbox was not found' })
    }
  })
})

describe('of a daemon that is over', () => {
  test('commands go on, are found again by their number and tag, heard, written to, and end in time', async () => {
    await using sandbox = await EnvdSandbox.open()
    const listener = await begin(sandbox, { ...start('n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done'), tag: 'counter' })
    const reader = await begin(sandbox, { ...start('cat'), stdin: true })
    const terminal = await begin(sandbox, { process: { cmd: '/bin/bash', args: ['-i'] }, pty: { size: { cols: 80, rows: 24 } } })
    const timed = await begin(sandbox, start('exec sleep 1000'), { 'connect-timeout-ms': '6000' })
    const flood = await begin(sandbox, start('head -c 20000000 /dev/zero; touch /tmp/flooded; exec sleep 1000'))
    const broken = [listener, reader, terminal, timed, flood].map(({ events }) => endOf(events))
    await sandbox.daemon.stop('SIGKILL')
    expect(new Set(await Promise.all(broken))).toEqual(new Set(['broken off']))

    await using daemon = await sandbox.daemon.again()
    const again = sandbox.of(daemon)
    const { json } = await again.rpc('process.Process/List', {})
    const listed = json.processes as { pid: number; tag?: string; config: { cmd: string; args: string[] } }[]
    expect(listed.map(({ pid }) => pid).sort()).toEqual([listener, reader, terminal, timed, flood].map(({ pid }) => pid).sort())
    expect(listed.find(({ pid }) => pid === listener.pid)).toMatchObject({ tag: 'counter', config: { cmd: '/bin/bash' } })

    const heard = again.stream(CONNECT, { process: { tag: 'counter' } })
    await until(heard, printed('line'))
    const echoed = again.stream(CONNECT, { process: { pid: reader.pid } })
    await echoed.next()
    const typed = { process: { pid: reader.pid }, input: { stdin: base64('typed\n') } }
    expect((await again.rpc('process.Process/SendInput', typed)).status).toBe(200)
    await until(echoed, printed('typed'))
    const shown = again.stream(CONNECT, { process: { pid: terminal.pid } })
    await shown.next()
    await again.rpc('process.Process/SendInput', { process: { pid: terminal.pid }, input: { pty: base64('stty size\n') } })
    await until(shown, printed('24 80'))
    const late = await collect(again.stream(CONNECT, { process: { pid: timed.pid } }))
    expect(late.error.code).toBe('deadline_exceeded')
    expect((await again.run('until test -e /tmp/flooded; do sleep 0.05; done; echo drained')).stdout).toBe('drained\n')
    await again.rpc('process.Process/SendSignal', { process: { tag: 'counter' }, signal: 'SIGNAL_SIGKILL' })
    expect((await until(heard, (event) => event.end !== undefined)).end.status).toBe('signal: killed')
  })
})
