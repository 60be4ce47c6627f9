import assert from 'node:assert/strict'
import { FileNotFoundError, FilesystemEventType, Sandbox } from 'e2b'
import { eventually, finish, pause, step } from './steps.mjs'

const sandbox = await Sandbox.create({ timeoutMs: 120_000 })
const { files, commands } = sandbox

/** Watches a folder; what is seen is kept as `type name`. */
async function watch(path, options) {
  const seen = []
  const events = []
  const handle = await files.watchDir(
    path,
    (event) => {
      events.push(event)
      seen.push(`${event.type} ${event.name}`)
    },
    options,
  )
  return { handle, seen, events, saw: (what) => eventually(`the event "${what}" (seen: ${seen})`, () => seen.includes(what)) }
}

await step('each kind of change, as it happens', async () => {
  await files.makeDir('plain')
  await files.write('plain/old.txt', 'before')
  const { handle, saw } = await watch('plain')
  await files.write('plain/old.txt', 'after')
  await saw('write old.txt')
  await files.write('plain/new.txt', 'x')
  await saw('create new.txt')
  await commands.run('chmod 600 plain/new.txt')
  await saw('chmod new.txt')
  await files.rename('plain/new.txt', 'plain/newer.txt')
  await saw('rename new.txt')
  await files.remove('plain/newer.txt')
  await saw('remove newer.txt')
  await handle.stop()
})

await step('changes that commands make are seen too, with the file itself where it was asked for', async () => {
  await files.makeDir('entries')
  const { handle, saw, events } = await watch('entries', { includeEntry: true })
  await commands.run('echo 12345 > entries/by-hand.txt')
  await saw('write by-hand.txt')
  const written = events.findLast((event) => event.type === FilesystemEventType.WRITE)
  assert.equal(written.entry.path, '/home/user/entries/by-hand.txt')
  assert.equal(written.entry.name, 'by-hand.txt')
  await files.remove('entries/by-hand.txt')
  await saw('remove by-hand.txt')
  assert.equal(events.find((event) => event.type === FilesystemEventType.REMOVE).entry, undefined)
  await handle.stop()
})

await step('below: not without being asked to', async () => {
  await files.makeDir('flat/nested')
  const { handle, saw, seen } = await watch('flat')
  await files.write('flat/nested/deep.txt', 'x')
  await files.write('flat/marker', 'x')
  await saw('create marker')
  assert.equal(
    seen.find((event) => event.includes('deep.txt')),
    undefined,
  )
  await handle.stop()
})

await step('below: folders that were there, and folders that come later', async () => {
  await files.makeDir('deep/there')
  const { handle, saw } = await watch('deep', { recursive: true })
  await files.write('deep/there/file.txt', 'x')
  await saw('write there/file.txt')
  await files.makeDir('deep/later')
  await saw('create later')
  await files.write('deep/later/file.txt', 'x')
  await saw('write later/file.txt')
  await commands.run('mkdir -p deep/a/b/c && sleep 0.3 && touch deep/a/b/c/leaf')
  await saw('create a/b/c/leaf')
  await handle.stop()
})

await step('after stop nothing more is told', async () => {
  await files.makeDir('stopped')
  let ended = false
  const { handle, seen } = await watch('stopped', { onExit: () => (ended = true) })
  await handle.stop()
  await eventually('the end', () => ended)
  await files.write('stopped/late.txt', 'x')
  await pause(0.3)
  assert.deepEqual(seen, [])
})

await step('what cannot be watched says so', async () => {
  await assert.rejects(
    files.watchDir('not-there', () => undefined),
    FileNotFoundError,
  )
  await files.write('a-file.txt', 'x')
  await assert.rejects(files.watchDir('a-file.txt', () => undefined))
})

await sandbox.kill()
finish()
