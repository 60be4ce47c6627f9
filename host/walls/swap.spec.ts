import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { swapIn } from './swap.ts'

const NONE = 'Filename\tType\tSize\tUsed\tPriority\n'
const ONE = `${NONE}/swapfile file 1048572 0 -2\n`
const MISSING = { detail: 'this machine swaps and does not count it; only --memory none works', mend: 'sudo swapoff -a' }

test.each([
  [1, ['memory.memsw.limit_in_bytes', 'memory.swappiness'], ONE, { detail: 'swap is limited with it' }],
  [1, ['memory.swappiness'], ONE, { detail: 'swap is not counted, and not used at the limit (swappiness 0)' }],
  [1, [], ONE, MISSING],
  [2, ['memory.swap.max'], ONE, { detail: 'swap is limited with it' }],
  [2, [], NONE, { detail: 'there is no swap' }],
  [2, [], ONE, MISSING],
] as const)('version %s with %j: what a limit of memory leaves of swap is said', async (version, files, swaps, told) => {
  const group = await mkdtemp(join(tmpdir(), 'caisson-swap-'))
  await using _ = { [Symbol.asyncDispose]: () => rm(group, { recursive: true }) }
  for (const file of files) await writeFile(join(group, file), '')
  await writeFile(join(group, 'swaps'), swaps)
  expect(await swapIn(group, version, join(group, 'swaps'))).toEqual(told)
})
