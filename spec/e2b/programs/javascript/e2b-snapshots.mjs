import assert from 'node:assert/strict'
import { Sandbox, SandboxNotFoundError } from 'e2b'
import { finish, step } from './steps.mjs'

const run = `snap-${process.pid}-${Date.now()}`
const sandbox = await Sandbox.create({ timeoutMs: 120_000, envs: { KEPT: 'yes' } })
await sandbox.files.write('app/config.json', '{"env":"test"}')

await step('a snapshot: its id, and the original goes on', async () => {
  const snapshot = await sandbox.createSnapshot()
  assert.ok(snapshot.snapshotId.length > 0)
  assert.ok(Array.isArray(snapshot.names))
  assert.equal(await sandbox.isRunning(), true)
  assert.equal((await sandbox.commands.run('cat app/config.json')).stdout, '{"env":"test"}')
  assert.equal(await Sandbox.deleteSnapshot(snapshot.snapshotId), true)
  assert.equal(await Sandbox.deleteSnapshot(snapshot.snapshotId), false)
})

await step('sandboxes from one snapshot have its files, and share nothing', async () => {
  await sandbox.files.write('shared.txt', 'as it was')
  const { snapshotId } = await sandbox.createSnapshot()
  await sandbox.files.write('shared.txt', 'changed since')
  const [one, two] = await Promise.all([
    Sandbox.create(snapshotId, { timeoutMs: 60_000 }),
    Sandbox.create(snapshotId, { timeoutMs: 60_000 }),
  ])
  assert.equal(await one.files.read('shared.txt'), 'as it was')
  assert.equal(await two.files.read('app/config.json'), '{"env":"test"}')
  assert.equal((await one.files.getInfo('shared.txt')).owner, 'user')
  await one.files.write('shared.txt', 'mine')
  assert.equal(await two.files.read('shared.txt'), 'as it was')
  assert.notEqual(one.sandboxId, two.sandboxId)
  await Promise.all([one.kill(), two.kill()])
  await Sandbox.deleteSnapshot(snapshotId)
  await assert.rejects(Sandbox.create(snapshotId), /404/)
})

await step('a name: given, found by, and not by another', async () => {
  const snapshot = await sandbox.createSnapshot({ name: run })
  assert.ok(snapshot.names.some((name) => name.includes(run)))
  const list = async (options) => (await Sandbox.listSnapshots(options).nextItems()).map((one) => one.snapshotId)
  assert.ok((await list()).includes(snapshot.snapshotId))
  assert.ok((await list({ sandboxId: sandbox.sandboxId })).includes(snapshot.snapshotId))
  assert.deepEqual(await list({ name: run }), [snapshot.snapshotId])
  assert.deepEqual(await list({ name: `${run}-not` }), [])
  const named = await Sandbox.create(run, { timeoutMs: 60_000 })
  assert.equal(await named.files.read('app/config.json'), '{"env":"test"}')
  await named.kill()
  assert.equal(await Sandbox.deleteSnapshot(snapshot.snapshotId), true)
})

await step('snapshots are listed page by page', async () => {
  const made = []
  for (let index = 0; index < 3; index += 1) made.push((await sandbox.createSnapshot()).snapshotId)
  const paginator = Sandbox.listSnapshots({ sandboxId: sandbox.sandboxId, limit: 2 })
  const found = []
  while (paginator.hasNext) found.push(...(await paginator.nextItems()))
  assert.deepEqual(found.map((one) => one.snapshotId).sort(), [...made].sort())
  for (const id of made) await Sandbox.deleteSnapshot(id)
})

await step('fork: independent copies, and the original with its own end', async () => {
  await sandbox.files.write('forked.txt', 'before')
  const { endAt } = await sandbox.getInfo()
  const forks = await sandbox.fork({ count: 3, timeoutMs: 60_000 })
  assert.equal(forks.length, 3)
  for (const fork of forks) assert.ok(fork instanceof Sandbox, String(fork))
  assert.equal(new Set([sandbox, ...forks].map((one) => one.sandboxId)).size, 4)
  await forks[0].files.write('forked.txt', 'mine')
  assert.equal(await forks[1].files.read('forked.txt'), 'before')
  assert.equal(await sandbox.files.read('forked.txt'), 'before')
  assert.equal((await forks[2].commands.run('echo $KEPT')).stdout, 'yes\n')
  assert.equal((await sandbox.getInfo()).endAt.getTime(), endAt.getTime())
  await Promise.all(forks.map((fork) => fork.kill()))
})

await step('of what is gone there is neither snapshot nor fork', async () => {
  await sandbox.kill()
  await assert.rejects(sandbox.createSnapshot(), SandboxNotFoundError)
  await assert.rejects(sandbox.fork(), SandboxNotFoundError)
})

finish()
