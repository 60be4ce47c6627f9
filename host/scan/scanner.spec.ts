import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { Scanner } from './scanner.ts'

/** A scan that finds nothing, and needs a moment for it. */
const PROGRAM = `
import { parentPort } from 'node:worker_threads'
parentPort.on('message', ({ order }) => setTimeout(() => parentPort.postMessage({ order, seen: { findings: [], proposal: {} } }), 5))
`

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'caisson-scan-'))
  await writeFile(join(folder, 'scan.mjs'), PROGRAM)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('however much one owner has looked at, another is looked at next, and is not refused', async () => {
  await using scanner = new Scanner(join(folder, 'scan.mjs'))
  const seen: string[] = []
  const look = async (owner: string, code: string) => {
    const { unseen } = await scanner.scan('python', code, ['hostile'], unending(), owner)
    seen.push(unseen === undefined ? owner : `${owner} refused`)
  }
  const many = Array.from({ length: 300 }, (_, number) => look('mallory', `mallory = ${number}`))
  await look('bob', 'bob = 1')
  const of = (who: string) => seen.filter((one) => one === who).length
  // All that is more than may wait was refused at once; of the rest one was under way.
  expect(of('bob')).toBe(1)
  expect(of('mallory')).toBeLessThanOrEqual(2)
  await Promise.all(many)
  expect(of('mallory refused')).toBe(300 - 256 - 1)
})
