import { afterAll, beforeAll, expect, test } from 'vitest'
import { VERBS } from '../../client/cli/shelf.ts'
import { CommandLine } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

test('help of all verbs fits 80 columns', async () => {
  const { stdout } = await line.caisson(['--help'])
  expect(stdout.split('\n').filter((row) => row.length > 80)).toEqual([])
})

test.each(Object.keys(VERBS))(
  'help of %s fits 80 columns, usage and examples apart, and names no default that says nothing',
  async (verb) => {
    const { stdout } = await line.caisson([verb, '--help'])
    const said = stdout.replace(/^Usage: .*\n/, '').replace(/^Examples?:\n(?: .*\n?)*/m, '')
    expect(said.split('\n').filter((row) => row.length > 80)).toEqual([])
    expect(stdout).not.toMatch(/\(default:\s+(false|\[\]|\d{5,})\)/)
    expect(stdout).toMatch(/^Examples?:\n {2}\S/m)
  },
)

test.each([
  [
    'a command without --',
    ['exec', 'i0123456789abcdefghi', 'ls', '-l'],
    /no command is named after --\. Write: caisson exec ID -- COMMAND\./,
  ],
  ['a scan of nothing', ['scan'], /nothing to scan\. Name a FILE, -c CODE, or - for standard input\./],
  ['a key without an owner', ['keys', 'create'], /caisson keys create OWNER/],
  ['no daemon', ['ps'], /caisson ps needs a daemon, and none is running\. [^\n]*`caisson up`/],
])('%s: what is wrong, and what to write', async (_, args, said) => {
  const ended = await line.caisson([...args])
  expect(ended).toMatchObject({ exitCode: 125, stdout: '', stderr: expect.stringMatching(/^caisson: [A-Z_]+: [^\n]*\n$/) })
  expect(ended.stderr).toMatch(said)
})

test('why of a sandbox that was refused nothing says so', async () => {
  expect(await line.caisson(['run', '-c', '1'])).toMatchObject({ exitCode: 0 })
  expect(await line.caisson(['why', '--last'])).toEqual({ exitCode: 0, stdout: 'Nothing was refused.\n', stderr: '' })
  expect((await line.caisson(['why', '--last', '--json'])).stdout).toBe('[]\n')
})

test('a scan that finds nothing says so', async () => {
  expect(await line.caisson(['scan', '-c', 'print(1)'])).toEqual({ exitCode: 0, stdout: 'Nothing hostile was found.\n', stderr: '' })
})

test('help VERB is VERB --help', async () => {
  expect((await line.caisson(['help', 'why'])).stdout).toBe((await line.caisson(['why', '--help'])).stdout)
  expect((await line.caisson(['help', 'fly'])).stderr).toMatch(/"fly" is not a verb/)
})
