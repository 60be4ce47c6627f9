import { execFileSync } from 'node:child_process'
import { verify } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { INTERPRETER, program } from '../../client/attacks/attack.ts'
import { hostFiles } from '../../client/attacks/host-files.ts'
import type { SignedReport } from '../../client/attacks/report.ts'
import { PublicKey } from '../../host/audit/signing-key.ts'
import { everyWall } from '../walls/every-wall.ts'
import { CommandLine } from './invoke.ts'

const PATIENCE_MS = 600_000
const SHARED = 'writing what all sandboxes share'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(() => line[Symbol.asyncDispose]())

const attack = (...words: string[]) => line.caisson(['attack', ...words, '--json'])
const waysOf = ({ report }: SignedReport) => report.walls.flatMap(({ tried }) => tried.flatMap(({ ways }) => ways))

everyWall((wall) => {
  test('every attack works without it and is contained behind it, and the report is signed and on record', {
    timeout: PATIENCE_MS,
  }, async () => {
    const { stdout, exitCode, stderr } = await attack('--wall', wall)
    expect([exitCode, exitCode === 0 ? '' : stderr]).toEqual([0, ''])
    const signed = JSON.parse(stdout) as SignedReport
    const pem = (await line.caisson(['audit', 'key'])).stdout
    expect(PublicKey.of(pem).id).toBe(signed.key)
    expect(verify(null, Buffer.from(JSON.stringify(signed.report)), pem, Buffer.from(signed.signature, 'base64'))).toBe(true)
    expect(signed.report).toMatchObject({ contained: true, profile: 'default', only: null, walls: [{ wall, unavailable: null }] })
    const ways = waysOf(signed)
    expect(ways.length).toBeGreaterThan(400)
    expect(ways.filter(({ within }) => within !== 'contained' && (within !== 'own kernel' || wall === 'container'))).toEqual([])
    expect(new Set(ways.map(({ without }) => without))).toEqual(new Set(['escaped', 'missing']))
    const { stdout: acts } = await line.caisson(['audit', 'list', '--json', '--kind', 'act', '--last', '1'])
    expect(JSON.parse(acts)).toMatchObject({ act: 'attack', detail: { contained: true } })
  })
})

describe('each profile, with what it needs', () => {
  test.each([
    // A scan that refuses the attacks, a root of its own, a folder, files that are kept.
    'code-interpreter',
    'e2b',
    'project',
    'workspace',
  ])('%s', async (profile) => {
    const { stdout, exitCode } = await attack('--wall', 'container', '--profile', profile, '--only', 'files of the host', '--only', SHARED)
    const signed = JSON.parse(stdout) as SignedReport
    expect(waysOf(signed).filter(({ within }) => within !== 'contained')).toEqual([])
    expect(signed.report.walls).toMatchObject([{ unavailable: null }])
    expect(waysOf(signed).length).toBeGreaterThan(60)
    expect(exitCode).toBe(0)
    // The caller's own workspace was not touched, and none is left.
    expect(JSON.parse((await line.caisson(['workspace', 'list', '--json'])).stdout)).toEqual([])
  })

  test('where root inside has a root of its own, what it writes is looked for on the host', async () => {
    const stage = hostFiles({ isOwnRoot: true })
    const shared = stage.attacks.find(({ name }) => name === SHARED)
    if (shared === undefined) throw new Error('there is no such attack')
    await shared.untouched?.()
    // As if nothing stood between, though it was told that something does.
    const [python, ...args] = INTERPRETER
    const said = execFileSync(python, [...args, program(shared.code), JSON.stringify(shared.facts?.(true))], { encoding: 'utf8' })
    expect(said).toMatch(/^CONTAINED\tmake a file in \/usr\tonly here/m)
    expect(said).not.toContain('ESCAPED')
    await expect(shared.untouched?.()).rejects.toThrow('/usr/shared-')
    await expect(shared.untouched?.()).rejects.toThrow('/usr/bin/true was changed')
    await shared.untouched?.()
  })
})

describe('one that is ended before its end', () => {
  const FOLDERS = ['/root', '/home', '/var', '/opt', '/run', '/etc', '/srv', '/tmp', '/var/tmp', '/dev/shm']
  const planted = () =>
    [...FOLDERS, line.work].flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => /^(canary|caisson-scratch)-/.test(name))
        .map((name) => join(folder, name)),
    )

  test.each([
    ['SIGTERM', 143, 'reading files of the host'],
    ['SIGINT', 130, 'io_uring'],
    ['SIGHUP', 129, 'a sandbox behind container'],
  ] as const)('%s: it leaves nothing, and ends with %i', async (signal, exitCode, begun) => {
    let seen: string[] = []
    const ended = await line.caisson(['attack', '--wall', 'container'], {
      env: { TMPDIR: line.work },
      onOutput: (text, child) => {
        if (seen.length > 0 || !text.includes(begun)) return
        seen = planted()
        child.kill(signal)
      },
    })
    expect(seen.length).toBeGreaterThan(9)
    expect([ended.exitCode, ended.stdout]).toEqual([exitCode, ''])
    // Others may attack at the same time, and take away what is theirs when they end.
    await expect.poll(() => seen.filter((path) => existsSync(path)), { timeout: 110_000 }).toEqual([])
    expect(await line.leftovers()).toEqual([])
  })

  test('SIGKILL: the process that it had made as a victim ends too', async () => {
    const victims: string[] = []
    await line.caisson(['attack', '--wall', 'container', '--only', 'acting on processes of the host'], {
      env: { TMPDIR: line.work },
      onOutput: (text, child) => {
        if (victims.length > 0 || !text.includes('acting on processes')) return
        victims.push(...childrenOf(child.pid).filter((pid) => commandOf(pid).includes('trap : USR1')))
        child.kill('SIGKILL')
      },
    })
    expect(victims).toHaveLength(1)
    await expect.poll(() => victims.filter((pid) => commandOf(pid).includes('trap : USR1'))).toEqual([])
  })
})

function childrenOf(pid: number | undefined): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
