import { join } from 'node:path'
import { afterAll, beforeAll, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from '../walls/every-wall.ts'
import { accept, PROGRAMS } from './program.ts'

/** What this wall's kernel (runsc of 2022) has not, by program and step. */
const LACKING: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'e2b-commands.mjs': {
    'users: user, root, sudo without a password, and one that is not known': 'set-uid bits are not honoured: commands run as root instead',
  },
  'e2b-files.mjs': {
    'files of the kernel, whose size is not known before, are read whole': 'there is no boot_id',
    "where the user may not write: made by root, and the user's": 'the root is read-only, and nobody becomes root',
    'metadata: kept, listed, replaced as a whole, carried along by a rename': 'files have no extended attributes',
  },
  'e2b-life.mjs': { 'pause of the files alone: resumed as from a cold start': 'it is told by the boot_id, which is not there' },
  'e2b-ports.mjs': {},
  'e2b-snapshots.mjs': {},
  'e2b-watch.mjs': {},
  'interpreter-code.mjs': {},
}

/*
 * Not here: `e2b-terminal`, all of which holds but one step (its kernel makes no signal of an interrupt that is typed), which waits for it; the others in
 * JavaScript, and those in Python, which ask nothing of a wall that these do not.
 */

onWall('gvisor', () => {
  let daemon: SpecDaemon
  let key: string
  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    // The programs name no wall, and run as they are: whatever is made with this key stands behind it.
    const body = JSON.stringify({ owner: 'acceptance', leastWall: 'gvisor' })
    const response = await daemon.fetch('/caisson/v1/keys', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    key = ((await response.json()) as { key: string }).key
  })
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]()
  })

  for (const [name, lacking] of Object.entries(LACKING)) {
    test(name, { timeout: 300_000 }, async () => {
      await accept(process.execPath, [join(PROGRAMS, 'javascript', name)], { ...daemon.environment, E2B_API_KEY: key }, lacking)
    })
  }
})
