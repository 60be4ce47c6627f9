import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CommandLine, ROOT } from './invoke.ts'

const VALUE = 'a-secret-of-some-length'

test('a secret is stored from standard input, for its owner’s eyes alone, listed by its name, and removed', async () => {
  await using line = await CommandLine.open()
  expect(await line.caisson(['secret', 'set', 'KEY_1'], { stdin: `${VALUE}\n` })).toMatchObject({ exitCode: 0, stdout: '' })
  const folder = join(line.home, 'secrets')
  expect(await readdir(folder)).toEqual(['KEY_1'])
  expect((await stat(folder)).mode & 0o777).toBe(0o700)
  expect((await stat(join(folder, 'KEY_1'))).mode & 0o777).toBe(0o600)
  expect((await line.caisson(['secret'])).stdout).toBe('KEY_1\n')
  expect((await line.caisson(['secret', 'list', '--json'])).stdout).toBe('["KEY_1"]\n')
  expect((await line.caisson(['secret', 'rm', 'KEY_1'])).exitCode).toBe(0)
  expect(await readdir(folder)).toEqual([])
})

test('on a terminal a value is asked for, and not shown; Ctrl-C stores nothing', async () => {
  await using line = await CommandLine.open()
  const typed = (name: string, keys: string) => {
    const words = [join(ROOT, 'spec/cli/on-terminal.py'), '33x101', JSON.stringify([['Enter: ', keys]]), join(ROOT, 'caisson')]
    return line.invoke('python3', [...words, 'secret', 'set', name])
  }
  const ended = await typed('KEY_1', `${VALUE}x\u007f\r`)
  expect(ended).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('type the value of KEY_1') })
  expect(ended.stdout).not.toContain(VALUE)
  expect(await readFile(join(line.home, 'secrets/KEY_1'), 'utf8')).toBe(VALUE)
  expect((await typed('KEY_2', `${VALUE}\u0003`)).exitCode).toBe(130)
  expect((await typed('KEY_2', '\u0004')).exitCode).toBe(125)
  expect(await readdir(join(line.home, 'secrets'))).toEqual(['KEY_1'])
})

test('what is no secret is refused, and no message has it', async () => {
  await using line = await CommandLine.open()
  for (const [name, stdin] of [
    ['KEY', ''],
    ['KEY', 'short'],
    ['KEY', `${VALUE}\nmore`],
    ['KEY', `${VALUE}\u00e9`],
    ['../KEY', VALUE],
    ['1KEY', VALUE],
  ] as const) {
    const { exitCode, stderr } = await line.caisson(['secret', 'set', name], { stdin })
    expect([name, exitCode, stderr]).toEqual([name, 125, expect.stringMatching(/^caisson: BAD_REQUEST/)])
    expect(stderr).not.toContain(VALUE)
  }
  expect((await line.caisson(['secret', 'rm', 'KEY'])).stderr).toMatch(/^caisson: NOT_FOUND/)
  const remote = await line.caisson(['secret', 'set', 'KEY'], { stdin: VALUE, env: { CAISSON_URL: 'http://127.0.0.1:1' } })
  expect(remote.stderr).toMatch(/^caisson: UNSUPPORTED.*network/)
})

test('a policy that names a secret which is not stored is refused before anything is started', async () => {
  await using line = await CommandLine.open()
  const file = join(line.work, 'net.json')
  await writeFile(
    file,
    JSON.stringify({ mode: 'allow', allow: ['api.example:443'], credentials: [{ secret: 'KEY', host: 'api.example' }] }),
  )
  const run = () => line.caisson(['run', '--net', file, '--dry-run', '-c', '1'])
  expect((await run()).stderr).toMatch(/POLICY_INVALID: network\.credentials\.0: no secret KEY is stored.*caisson secret set KEY/)
  await line.caisson(['secret', 'set', 'KEY'], { stdin: VALUE })
  const { stdout, exitCode } = await run()
  expect(exitCode).toBe(0)
  expect(stdout).toContain('"KEY"')
  expect(stdout).toContain('/caisson/trust/bundle.pem')
  expect(stdout).not.toContain(VALUE)
})
