import { readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Sandbox } from '../../client/index.ts'
import type { Plan } from '../../wire/index.ts'
import { DaemonLine, sharedDaemonLine } from '../cli/daemon-line.ts'

const daemon = sharedDaemonLine()

const curl = async (sandbox: Sandbox, url: string) => (await sandbox.commands.run(`curl -sS --max-time 20 ${url} 2>&1; true`)).stdout

test('what a sandbox was not let reach is told to it and to its owner, with the rule that would allow it', async () => {
  const one = await daemon().sandbox({ network: 'allow:good.example:443' })
  expect(JSON.parse(await curl(one, 'http://203.0.113.7/'))).toMatchObject({ code: 'NETWORK_DENIED', hint: `caisson why ${one.id}` })
  expect(await curl(one, 'https://other.example/')).toMatch(/resolve/)
  expect(await curl(one, 'https://other.example/')).toMatch(/resolve/)
  const told = JSON.parse((await daemon().line.caisson(['why', '--json', one.id])).stdout) as { target: string; times: number }[]
  expect(told.find(({ target }) => target === '203.0.113.7:80')).toMatchObject({
    times: 1,
    rule: expect.stringMatching(/^reserved /),
    wouldAllow: null,
  })
  expect(told.find(({ target }) => target === 'other.example')).toMatchObject({ rule: 'mode allow', wouldAllow: 'other.example' })
  expect((await daemon().line.caisson(['why', one.id])).stdout).toMatch(
    /^TARGET +TIMES +RULE +REASON +WOULD ALLOW\n[\s\S]*^other\.example +\d+ +mode allow .* other\.example$/m,
  )
})

test('the sockets of the airlock are this user’s alone, and there only where a sandbox needs them', async () => {
  await using quiet = await DaemonLine.open()
  await quiet.sandbox()
  const sockets = async () => (await readdir(quiet.line.home)).filter((name) => name.startsWith('airlock')).sort()
  expect(await sockets()).toEqual([])
  await quiet.sandbox({ network: 'open' })
  expect(await sockets()).toEqual(['airlock-daemon-inspect.sock', 'airlock-daemon.sock'])
  for (const name of await sockets()) expect((await stat(join(quiet.line.home, name))).mode & 0o777).toBe(0o600)
  expect(await quiet.end()).toEqual([])
})

const rules = { mode: 'open', deny: [{ rule: '93.184.215.0/24', match: ['93.184.215.14:80'] }] } as const

test('rules in many words hold for a sandbox through forks, snapshots, pauses, and the end of the daemon', async () => {
  const one = await daemon().sandbox({ network: rules })
  const denied = async (sandbox: Sandbox) => (await curl(sandbox, 'http://93.184.215.14/')).includes('"rule":"deny 93.184.215.0/24"')
  expect(await denied(one)).toBe(true)
  const [fork] = await one.fork()
  expect(fork === undefined ? 'none' : await denied(fork)).toBe(true)
  const snapshot = await one.snapshot()
  expect(await denied(await daemon().sandbox({ template: snapshot.id }))).toBe(true)
  await one.pause()
  process.kill(await daemon().pid(), 'SIGKILL')
  await daemon().again()
  await one.resume()
  await expect.poll(() => denied(one), { timeout: 20_000 }).toBe(true)
})

test('a dry run prints all the rules, presets spelled out', async () => {
  const path = join(daemon().line.home, 'rules.json')
  await writeFile(path, JSON.stringify(rules))
  const plan = JSON.parse((await daemon().line.caisson(['run', '--dry-run', '--net', path, '-c', '1'])).stdout) as Plan
  expect(plan.network).toMatchObject({ mode: 'gate', policy: rules })
  await rm(path)
})

test('a daemon that was killed leaves its sandboxes without a way out; the next one judges them by their own rules again', async () => {
  const one = await daemon().sandbox({ network: 'open' })
  const refused = async () => (await curl(one, 'http://10.0.0.1/')).includes('"rule":"reserved private"')
  expect(await refused()).toBe(true)
  process.kill(await daemon().pid(), 'SIGKILL')
  await daemon().again()
  await expect.poll(refused, { timeout: 20_000 }).toBe(true)
  const told = (await daemon().line.caisson(['why', one.id])).stdout
  expect(told).toMatch(/10\.0\.0\.1:80 +\d+ +reserved private/)
})
