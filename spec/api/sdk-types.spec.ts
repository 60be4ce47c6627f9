import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const REPOSITORY = join(import.meta.dirname, '../..')
const COMPILER = join(REPOSITORY, 'node_modules/typescript/bin/tsc')

/** Somebody's program: all that the guide shows, with the names of the types that hold it. */
const PROGRAM = `import { type CodeResult, Fault, RemoteDoor, type RunningCommand, Sandbox, type SandboxInfo } from 'caisson'

export async function main(signal: AbortSignal): Promise<SandboxInfo> {
  await using sandbox = await Sandbox.create({ timeoutMs: 60_000, memoryMiB: null, signal })
  const result: CodeResult = await sandbox.runCode('1', { language: 'python', signal })
  const image: string | undefined = result.results[0]?.png
  const command: RunningCommand = await sandbox.commands.start('bash', { pty: { columns: 80, rows: 24 } })
  for await (const { channel, bytes } of command.output) console.log(image, channel, bytes.length)
  const bytes: Uint8Array = await sandbox.files.read('/home/user/data.csv', { format: 'bytes' })
  for await (const event of sandbox.events()) if (event.kind === 'denied') console.log(bytes, event.host, event.wouldAllow)
  try {
    await sandbox.files.read('/home/user/missing')
  } catch (error) {
    if (!(error instanceof Fault && error.code === 'FILE_MISSING')) throw error
  }
  await Sandbox.create({ door: new RemoteDoor({ url: 'http://127.0.0.1:7007', key: 'k' }) })
  for await (const { id, state } of Sandbox.list({ metadata: { task: '42' } })) console.log(id, state)
  return await sandbox.getInfo()
}
`
/** More than `strict`; none of it is asked of our own source. */
const STRICTEST = {
  strict: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
  verbatimModuleSyntax: true,
  skipLibCheck: false,
}

/** A folder that has the package as `npm install PATH/client` puts it there: by a link. */
let folder: string

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cai-')))
  await mkdir(join(folder, 'node_modules'))
  await symlink(join(REPOSITORY, 'client'), join(folder, 'node_modules/caisson'))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** What the compiler says about a program in that folder; empty: nothing. */
async function compiled(program: string, options: Record<string, unknown>): Promise<string> {
  const where = { lib: ['es2023', 'esnext.disposable'], types: ['node'], typeRoots: [join(REPOSITORY, 'node_modules/@types')] }
  await writeFile(join(folder, 'program.ts'), program)
  const compilerOptions = { target: 'es2022', noEmit: true, ...where, ...options }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }))
  const ended = promisify(execFile)(process.execPath, [COMPILER, '-p', folder])
  return await ended.then(
    ({ stdout }) => stdout,
    (failure: { stdout: string }) => failure.stdout,
  )
}

describe('a program in TypeScript elsewhere', () => {
  test.each([
    ['of Node, with the strictest settings', { ...STRICTEST, module: 'nodenext' }],
    ['that a bundler puts together', { ...STRICTEST, module: 'esnext', moduleResolution: 'bundler' }],
    ['that treats absent members strictly', { strict: true, exactOptionalPropertyTypes: true, module: 'nodenext' }],
    ['with declarations of its own', { strict: true, module: 'nodenext', noEmit: false, declaration: true, outDir: 'out' }],
  ])('%s compiles, and our source is not judged by its settings', async (_, options) => {
    expect(await compiled(PROGRAM, options)).toBe('')
  })

  test('is told where it uses the SDK wrongly', async () => {
    const wrong = PROGRAM.replace('memoryMiB: null', "memoryMiB: 'much'").replace('FILE_MISSING', 'FILE_GONE')
    const said = await compiled(wrong, { strict: true, module: 'nodenext' })
    expect(said).toMatch(/program\.ts\(4,\d+\): error TS2322: Type 'string' is not assignable to type 'number/)
    expect(said).toMatch(/program\.ts\(14,\d+\): error TS2367: .*"FILE_GONE"/)
  })
})
