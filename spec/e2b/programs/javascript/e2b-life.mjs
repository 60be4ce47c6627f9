import assert from 'node:assert/strict'
import { Sandbox, SandboxNotFoundError, Template, TimeoutError } from 'e2b'
import { eventually, finish, pause, step } from './steps.mjs'

/** The newest SDK says the one or the other, by the call. */
const isGone = (error) => error instanceof TimeoutError || error instanceof SandboxNotFoundError

const run = `run-${process.pid}-${Date.now()}`

await step('create: what was asked for is what it says about itself', async () => {
  const sandbox = await Sandbox.create({ metadata: { run, note: 'a=b&c d%' }, timeoutMs: 60_000 })
  const info = await sandbox.getInfo()
  assert.equal(info.sandboxId, sandbox.sandboxId)
  assert.match(sandbox.sandboxId, /^[a-z0-9]+$/)
  assert.deepEqual(info.metadata, { run, note: 'a=b&c d%' })
  assert.equal(info.state, 'running')
  assert.ok(info.cpuCount >= 1 && info.memoryMB >= 128)
  const seconds = (info.endAt.getTime() - info.startedAt.getTime()) / 1000
  assert.ok(seconds > 55 && seconds < 70, `${seconds} s from start to end`)
  assert.equal(info.lifecycle?.onTimeout, 'kill')
  assert.equal(await sandbox.isRunning(), true)
  assert.equal(await sandbox.kill(), true)
  assert.equal(await sandbox.kill(), false)
})

await step('templates: base and code-interpreter-v1 are there, others are not', async () => {
  assert.equal(await Template.exists('base'), true)
  assert.equal(await Template.exists('code-interpreter-v1'), true)
  assert.equal(await Template.exists('never-built-by-anyone'), false)
  await assert.rejects(Sandbox.create('never-built-by-anyone'), /404/)
})

await step('kill: whatever is asked of it afterwards, the answer is that it is gone', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  assert.equal(await Sandbox.kill(sandbox.sandboxId), true)
  assert.equal(await sandbox.isRunning(), false)
  for (const call of [
    () => sandbox.commands.run('true'),
    () => sandbox.commands.list(),
    () => sandbox.files.read('x'),
    () => sandbox.files.list('.'),
    () => sandbox.files.write('x', 'y'),
  ]) {
    await assert.rejects(call(), isGone)
  }
  await assert.rejects(sandbox.getInfo(), SandboxNotFoundError)
  await assert.rejects(sandbox.setTimeout(5000), SandboxNotFoundError)
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), SandboxNotFoundError)
  await assert.rejects(sandbox.pause(), SandboxNotFoundError)
  assert.equal(await Sandbox.kill('inotthereatall'), false)
})

await step('kill in the middle of a command: an error that says so', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  const command = await sandbox.commands.run('echo up; sleep 60', { background: true })
  await eventually('its start', () => command.stdout === 'up\n')
  const ended = assert.rejects(command.wait(), (error) => {
    assert.ok(error instanceof TimeoutError, `${error.name}: ${error.message}`)
    assert.match(error.message, /sandbox was killed or reached its end of life/)
    return true
  })
  await sandbox.kill()
  await ended
})

await step('timeout: a sandbox ends when its time is up, and its metadata is no longer listed', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 2000, metadata: { run, which: 'short' } })
  assert.equal(await sandbox.isRunning(), true)
  await eventually('its end', async () => !(await sandbox.isRunning()))
  assert.deepEqual(await Sandbox.list({ query: { metadata: { run, which: 'short' } } }).nextItems(), [])
})

await step('timeout: extended and cut short', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 3000 })
  await sandbox.setTimeout(60_000)
  const { endAt } = await sandbox.getInfo()
  assert.ok(endAt.getTime() - Date.now() > 50_000)
  await pause(4)
  assert.equal(await sandbox.isRunning(), true)
  await Sandbox.setTimeout(sandbox.sandboxId, 1000)
  await eventually('its end', async () => !(await sandbox.isRunning()))
})

await step('connect: never shortens, only extends', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 100_000 })
  const before = (await sandbox.getInfo()).endAt.getTime()
  const same = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 10_000 })
  assert.equal((await sandbox.getInfo()).endAt.getTime(), before)
  await same.files.write('shared.txt', 'both')
  assert.equal(await sandbox.files.read('shared.txt'), 'both')
  await sandbox.connect({ timeoutMs: 300_000 })
  assert.ok((await sandbox.getInfo()).endAt.getTime() > before)
  await sandbox.kill()
})

await step('pause and connect: files, environment, processes and their output', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000, envs: { KEPT: 'yes' }, metadata: { run, which: 'paused' } })
  await sandbox.files.write('kept.txt', 'still here')
  const counter = await sandbox.commands.run('i=0; while true; do echo $((i++)) > /tmp/i; sleep 0.1; done', { background: true })
  await eventually('the counter', () => sandbox.files.exists('/tmp/i'))
  assert.equal(await sandbox.pause(), true)
  assert.equal(await sandbox.isRunning(), false)
  assert.equal((await sandbox.getInfo()).state, 'paused')
  assert.equal(await sandbox.pause(), false)
  const listed = await Sandbox.list({ query: { state: ['paused'], metadata: { which: 'paused', run } } }).nextItems()
  assert.deepEqual(
    listed.map((one) => one.sandboxId),
    [sandbox.sandboxId],
  )
  await assert.rejects(sandbox.commands.run('true'), isGone)
  const resumed = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 60_000 })
  assert.equal(resumed.sandboxId, sandbox.sandboxId)
  assert.equal(await sandbox.isRunning(), true)
  assert.equal((await resumed.getInfo()).state, 'running')
  assert.equal(await resumed.files.read('kept.txt'), 'still here')
  assert.equal((await sandbox.commands.run('echo $KEPT')).stdout, 'yes\n')
  assert.ok((await resumed.commands.list()).some((one) => one.pid === counter.pid))
  const before = Number(await resumed.files.read('/tmp/i'))
  await eventually('the counter goes on', async () => Number(await resumed.files.read('/tmp/i')) > before)
  await resumed.commands.connect(counter.pid)
  await resumed.kill()
})

await step('a paused sandbox can be killed', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  await sandbox.pause()
  assert.equal(await sandbox.kill(), true)
  await assert.rejects(Sandbox.connect(sandbox.sandboxId), SandboxNotFoundError)
})

await step('pause when the time is up; a request wakes it where that was asked for', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause', autoResume: true } })
  assert.deepEqual((await sandbox.getInfo()).lifecycle, { onTimeout: 'pause', autoResume: true })
  await sandbox.files.write('kept.txt', 'x')
  await sandbox.setTimeout(0)
  await eventually('the pause', async () => (await sandbox.getInfo()).state === 'paused')
  assert.equal(await sandbox.files.read('kept.txt'), 'x')
  assert.equal((await sandbox.getInfo()).state, 'running')
  await sandbox.kill()
})

await step('pause when the time is up; without that, nothing but connect wakes it', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause' } })
  await sandbox.setTimeout(0)
  await eventually('the pause', async () => (await sandbox.getInfo()).state === 'paused')
  assert.equal(await sandbox.isRunning(), false)
  await assert.rejects(sandbox.files.read('kept.txt'), isGone)
  assert.equal((await sandbox.getInfo()).state, 'paused')
  await sandbox.connect()
  assert.equal(await sandbox.isRunning(), true)
  await sandbox.kill()
})

await step('pause of the files alone: resumed as from a cold start', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  await sandbox.files.write('kept.txt', 'x')
  const boot = await sandbox.files.read('/proc/sys/kernel/random/boot_id')
  const sleeper = await sandbox.commands.run('sleep 1000', { background: true })
  sleeper.wait().catch(() => undefined)
  await sandbox.pause({ keepMemory: false })
  const resumed = await Sandbox.connect(sandbox.sandboxId)
  assert.equal(await resumed.files.read('kept.txt'), 'x')
  assert.equal(await sandbox.files.read('kept.txt'), 'x', 'the token of before still holds')
  assert.notEqual(await resumed.files.read('/proc/sys/kernel/random/boot_id'), boot)
  assert.equal((await resumed.commands.run('pgrep -fc "^sleep 1000" || true')).stdout.trim(), '0')
  await resumed.kill()
})

await step('metrics: a sample soon after the start, none from before it', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 60_000 })
  const [sample] = await eventually(
    'a sample',
    async () => {
      const samples = await sandbox.getMetrics()
      return samples.length > 0 && samples
    },
    30,
  )
  assert.ok(sample.cpuCount >= 1 && sample.memTotal > 0 && sample.diskTotal > 0 && sample.memUsed > 0)
  assert.ok(sample.cpuUsedPct >= 0 && sample.timestamp instanceof Date)
  assert.deepEqual(await sandbox.getMetrics({ start: new Date(Date.now() - 7200_000), end: new Date(Date.now() - 3600_000) }), [])
  await sandbox.kill()
})

await step('many at once, each with its own', async () => {
  const sandboxes = await Promise.all(
    Array.from({ length: 16 }, () => Sandbox.create({ timeoutMs: 60_000, metadata: { run, which: 'many' } })),
  )
  assert.equal(new Set(sandboxes.map((one) => one.sandboxId)).size, 16)
  await Promise.all(sandboxes.map((one, index) => one.files.write('own.txt', String(index))))
  const read = await Promise.all(sandboxes.map((one) => one.files.read('own.txt')))
  assert.deepEqual(
    read,
    read.map((_, index) => String(index)),
  )
  assert.deepEqual(await Promise.all(sandboxes.map((one) => one.kill())), Array(16).fill(true))
})

await step('a foreign id is nobody', async () => {
  await assert.rejects(Sandbox.getInfo('ithisisnotmine00000'), SandboxNotFoundError)
  await assert.rejects(Sandbox.connect('../../etc/passwd'), /40[04]|not found/i)
})

await step('a wrong key is told at once', async () => {
  await assert.rejects(Sandbox.create({ apiKey: `e2b_${'0'.repeat(40)}` }), (error) => error.name === 'AuthenticationError')
})

await step('a tool gateway that cannot start leaves no sandbox behind', async () => {
  const metadata = { run, which: 'gateway' }
  await assert.rejects(Sandbox.create('base', { metadata, mcp: { invalid_server: {} } }), /Failed to start MCP gateway/)
  assert.deepEqual(await Sandbox.list({ query: { metadata } }).nextItems(), [])
})

finish()
