import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { VERBS } from '../../client/cli/shelf.ts'
import { CommandLine, ROOT } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
  await writeFile(join(line.work, 'noname'), 'print(1)\n')
  await writeFile(join(line.work, 'latin.py'), Buffer.from('print("\xfc")\n', 'latin1'))
  await writeFile(join(line.work, 'book.ipynb'), '{"cells": []}')
  await writeFile(join(line.work, 'compiled'), Buffer.from('\x7fELF\x02\x01\x01\0\0', 'latin1'))
  await mkdir(join(line.work, 'folder.py'))
})
afterAll(async () => {
  await line[Symbol.asyncDispose]()
})

const RUN = ['run', '-c', '1']

test.each([
  ['no verb of that name', ['fly'], 'BAD_REQUEST', /"fly" .* run, .*doctor, bench/],
  ['an unknown flag', [...RUN, '--fast'], 'BAD_REQUEST', /unknown option '--fast'/],
  ['an option without its value', ['run', '--memory'], 'BAD_REQUEST', /--memory/],
  ['a wall to measure that is none', ['bench', 'walls', '--only', 'paper'], 'BAD_REQUEST', /"paper" is not a wall/],
  ['one wall of what is not of walls', ['bench', 'exec', '--only', 'gvisor'], 'BAD_REQUEST', /--only is for the benchmark "walls"/],
  ['nothing to run', ['run'], 'BAD_REQUEST', /nothing to run/],
  ['too much to run', ['run', '-c', '1', 'noname'], 'BAD_REQUEST', /"noname" is left over/],
  ['a missing file', ['run', 'missing.py'], 'FILE_MISSING', /missing\.py does not exist/],
  ['a folder for a file', ['run', 'folder.py'], 'FILE_KIND', /folder\.py/],
  ['a device for a file', ['run', '/dev/zero'], 'FILE_KIND', /\/dev\/zero/],
  ['a file of no language', ['run', 'noname'], 'LANGUAGE_UNKNOWN', /noname/],
  ['an unknown language', [...RUN, '--lang', 'cobol'], 'LANGUAGE_UNKNOWN', /cobol/],
  ['a bad size', [...RUN, '--memory', '1GB'], 'BAD_SIZE', /1GB/],
  ['a bad duration', [...RUN, '--timeout', '30'], 'BAD_SIZE', /"30"/],
  ['a bad number of rounds', ['bench', '--rounds', 'none'], 'BAD_SIZE', /"none" is not a number of rounds/],
  ['a program in another encoding', ['run', 'latin.py'], 'FILE_KIND', /latin\.py is not text in UTF-8/],
  ['a compiled program', ['run', 'compiled'], 'FILE_KIND', /compiled is not text in UTF-8.* -- \.\/FILE/],
  ['a bad count', [...RUN, '--pids', '-1'], 'BAD_SIZE', /-1/],
  ['a disk that is none', [...RUN, '--disk', 'none'], 'BAD_SIZE', /none/],
  ['an unknown profile', [...RUN, '--profile', 'lax'], 'PROFILE_UNKNOWN', /lax/],
  ['a profile that is a path', [...RUN, '--profile', '../default'], 'PROFILE_UNKNOWN', /default/],
  ['an unknown template', [...RUN, '--template', 'gentoo'], 'TEMPLATE_UNKNOWN', /gentoo/],
  ['an unknown wall', [...RUN, '--wall', 'paper'], 'WALL_UNKNOWN', /paper/],
  ['a rule that is none', [...RUN, '--net', 'allow:10.0.0.0/33'], 'POLICY_INVALID', /10\.0\.0\.0\/33/],
  ['a network that is none', [...RUN, '--net', 'wifi'], 'BAD_REQUEST', /wifi/],
  ['a missing mount', [...RUN, '--mount', '/nowhere'], 'MOUNT_UNREADABLE', /\/nowhere does not exist/],
  ['a file for a mount', [...RUN, '--mount', 'noname:rw'], 'MOUNT_UNREADABLE', /noname is not a folder/],
  ['a missing input', [...RUN, '--in', 'missing'], 'FILE_MISSING', /missing does not exist/],
  ['a folder for the output that cannot be', [...RUN, '--out', '/proc/none/x'], 'FILE_MISSING', /\/proc\/none\/x/],
  ['an output folder without a name', [...RUN, '--out', ''], 'FILE_MISSING', /"" does not exist/],
  ['a variable without a value', [...RUN, '--env', 'CAISSON_NOT_SET'], 'BAD_REQUEST', /CAISSON_NOT_SET/],
  ['too little memory', [...RUN, '--memory', '1'], 'BAD_REQUEST', /: --memory: .*>=16\. Correct it\./],
  ['too few processes', [...RUN, '--pids', '1'], 'BAD_REQUEST', /: --pids: .*>=4/],
  ['too many processors', [...RUN, '--cpus', '9999', '--dry-run'], 'BAD_REQUEST', /: --cpus: .*<=1024/],
  ['too small a disk', [...RUN, '--disk', '1'], 'BAD_REQUEST', /: --disk: .*>=4/],
  ['a name that no workspace has', [...RUN, '--profile', 'workspace', '--workspace', 'A'], 'BAD_REQUEST', /: --workspace: /],
  ['a notebook', ['run', 'book.ipynb'], 'LANGUAGE_UNKNOWN', /book\.ipynb .*nbconvert --to script/],
] as const)('%s is one line and 125', async (_, args, code, message) => {
  const ended = await line.caisson([...args])
  expect(ended.stderr).toMatch(new RegExp(`^caisson: ${code}: [^\\n]*\\n$`))
  expect(ended.stderr).toMatch(message)
  expect(ended.stdout).toBe('')
  expect(ended.exitCode).toBe(125)
  expect(await line.leftovers()).toEqual([])
  expect(await readdir(line.work)).toEqual(['book.ipynb', 'compiled', 'folder.py', 'latin.py', 'noname'])
})

test('a template that is not built is named, with the command that builds it', async () => {
  const bundle = join(import.meta.dirname, '../../dist/caisson.cjs')
  const ended = await line.invoke(process.execPath, [bundle, ...RUN], { env: { CAISSON_TEMPLATES: join(line.folder, 'none') } })
  expect(ended.stderr).toMatch(/^caisson: TEMPLATE_NOT_BUILT: [^\n]*\.\/caisson setup[^\n]*\n$/)
  expect(ended.exitCode).toBe(125)
})

test('a daemon that is configured is not replaced by a host in this process', async () => {
  const ended = await line.caisson([...RUN], { env: { CAISSON_URL: 'http://127.0.0.1:1' } })
  expect(ended.stderr).toMatch(/^caisson: DAEMON_UNREACHABLE: http:\/\/127\.0\.0\.1:1 does not answer [^\n]*caisson up[^\n]*\n$/)
  expect(ended.exitCode).toBe(125)
})

test('a state folder that cannot be used is one line', async () => {
  const ended = await line.invoke(process.execPath, [join(import.meta.dirname, '../../dist/caisson.cjs'), ...RUN], {
    env: { CAISSON_HOME: '/proc/none' },
  })
  expect(ended.stderr).toMatch(/^caisson: HOME_UNUSABLE: [^\n]*\n$/)
  expect(ended.exitCode).toBe(125)
})

test('with --json what is wrong with the command line is a document too', async () => {
  const ended = await line.caisson(['run', '--json', '--memory', 'much', '-c', '1'])
  expect(JSON.parse(ended.stdout)).toMatchObject({ exitCode: 125, error: { code: 'BAD_SIZE' } })
  expect(ended.stderr).toMatch(/^caisson: BAD_SIZE: [^\n]*\n$/)
})

test('whoever reads may go, and a disk may be full: no trace of Node, and an exit code that says so', async () => {
  const ran = (words: string) => line.invoke('bash', ['-c', `${join(ROOT, 'caisson')} ${words}`])
  const full = /^caisson: FILE_DENIED: what was to be printed could not be written \(ENOSPC\)[^\n]*\n$/
  expect(await ran('profile list > >(exec true); exit $?')).toEqual({ exitCode: 141, stdout: '', stderr: '' })
  for (const words of ['--help', `run -c 'print(1)'`, `run -- echo 1`, `run --json -c 1`]) {
    expect(await ran(`${words} >/dev/full`), words).toEqual({ exitCode: 125, stdout: '', stderr: expect.stringMatching(full) })
  }
})

test('with --json the error is a document too', async () => {
  const ended = await line.caisson([...RUN, '--json', '--profile', 'lax'])
  expect(JSON.parse(ended.stdout)).toMatchObject({ exitCode: 125, error: { code: 'PROFILE_UNKNOWN' } })
})

test('help names each verb, apart from what it is for', async () => {
  const { stdout } = await line.caisson(['--help'])
  for (const [verb, { summary }] of Object.entries(VERBS))
    expect(stdout.split('\n').map((row) => row.trim().split(/ {2,}/))).toContainEqual([verb, summary])
})

test.each(Object.keys(VERBS))('help of %s goes to standard output, with 0', async (verb) => {
  const ended = await line.caisson([verb, '--help'])
  expect(ended).toMatchObject({ exitCode: 0, stderr: '' })
  expect(ended.stdout).toMatch(new RegExp(`^Usage: caisson ${verb} `))
})
