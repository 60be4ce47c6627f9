import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommandLine, ROOT } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

test('a run starts no part of Node, and of itself, that it has no use for', async () => {
  const [told, teller] = [join(line.folder, 'told'), join(line.folder, 'teller.cjs')]
  await writeFile(teller, "process.on('exit', () => require('fs').writeFileSync(process.env.TOLD, process.moduleLoadList.join('\\n')))\n")
  const env = { NODE_OPTIONS: `--require=${teller}`, TOLD: told }
  expect(await line.caisson(['run', '--profile', 'project', '--', 'true'], { env })).toMatchObject({ exitCode: 0 })
  const started = (await readFile(told, 'utf8')).split('\n')
  expect(started).toContain('NativeModule crypto')
  const needless = ['http', 'http2', 'https', 'tls', 'zlib', 'readline', 'worker_threads', 'dns/promises']
  expect(started.filter((name) => needless.includes(name.replace('NativeModule ', '')))).toEqual([])
  // The description of descriptions: what describes the frames is decoded when they are generated.
  expect(await readFile(join(ROOT, 'dist/verbs.cjs'), 'latin1')).not.toContain('descriptor_pb')
})

test('what has been compiled for help is not kept for runs', async () => {
  const dist = join(line.folder, 'copy', 'dist')
  await mkdir(dist, { recursive: true })
  for (const file of ['caisson.cjs', 'verbs.cjs']) await cp(join(ROOT, 'dist', file), join(dist, file))
  expect(await line.invoke('node', [join(dist, 'caisson.cjs'), 'run', '--help'])).toMatchObject({ exitCode: 0 })
  expect(await readdir(join(dist, 'compiled'))).toEqual([expect.stringMatching(/^[0-9a-f]+-run-short$/)])
})
