import { execFile } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Harmless } from '../../client/cli/audit/harmless.ts'
import { TakingOut } from '../../host/audit/terminals/taking-out.ts'
import { openAudit } from '../../host/main.ts'
import { ROOT } from '../cli/invoke.ts'
import { SpecHost } from '../walls/home.ts'
import { command, SpecLog } from './logs.ts'

const signal = new AbortController().signal
const castsOf = (folder: string) => readdirSync(join(folder, 'terminals')).map((name) => join(folder, 'terminals', name))
const eventsOf = (path: string) =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('a session in a sandbox', () => {
  let host: SpecHost
  let cast: string
  let shown = ''
  const folder = () => join(host.home, 'audit')
  const verify = () => openAudit({ home: host.home }).verify(null, signal)
  const replay = async (...words: string[]) =>
    await promisify(execFile)(join(ROOT, 'caisson'), ['audit', 'replay', ...words], {
      env: { ...process.env, CAISSON_HOME: host.home },
    }).catch((failure: { code: number; stderr: string }) => ({ stdout: '', ...failure }))
  beforeAll(async () => {
    host = await SpecHost.open()
    const held = await host.door.create({ template: 'base' }, signal)
    const shell = await held.start({ command: '/bin/sh', args: ['-i'], pty: { columns: 90, rows: 30 } }, signal)
    await shell.resize({ columns: 101, rows: 33 }, signal)
    // The word is shown in two pieces by what runs, and in one by the line that is typed and not to be recorded.
    await shell.write(
      Buffer.from("stty -echo; printf 'blät%s\\n' ter; read word; printf '\\033]0;title\\007\\033[1mbold\\033[0m\\n'; exit 7\n"),
      signal,
    )
    let isTyped = false
    for await (const { bytes } of shell.output) {
      shown += Buffer.from(bytes).toString('latin1')
      if (!isTyped && Buffer.from(shown, 'latin1').toString().includes('blätter')) {
        isTyped = true
        await shell.write(Buffer.from('a-password\n'), signal)
      }
    }
    expect((await shell.exit).exitCode).toBe(7)
    await held.kill(signal)
    ;[cast = ''] = castsOf(folder())
  })
  afterAll(() => host[Symbol.asyncDispose]())

  test('is recorded as asciicast has it, for its owner alone: what was shown, and its size, but not what was typed', () => {
    const [head, ...events] = eventsOf(cast)
    expect(head).toMatchObject({ version: 2, width: 90, height: 30 })
    expect(events).toContainEqual([expect.any(Number), 'r', '101x33'])
    const text = events.map(([, kind, said]) => (kind === 'o' ? said : '')).join('')
    expect(Buffer.from(text).toString('latin1')).toBe(shown)
    expect(text).toContain('blätter')
    expect(readFileSync(cast, 'utf8')).not.toContain('a-password')
    expect(statSync(cast).mode & 0o777).toBe(0o600)
    for (const [index, [seconds]] of events.entries()) expect(seconds).toBeGreaterThanOrEqual(events[index - 1]?.[0] ?? 0)
  })

  test('is vouched for by the record: a change of it, and its absence, are found', async () => {
    const text = readFileSync(cast)
    const [, terminal] = /(t[0-9a-f]{20})\.\d+\.cast$/.exec(cast) ?? []
    const records = readFileSync(join(folder(), 'audit.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(records.filter((record) => record.terminal === terminal)).toMatchObject([
      { kind: 'terminal', columns: 90, input: false },
      { kind: 'terminal-end', bytes: text.length, truncated: false, interrupted: false },
    ])
    expect((await verify()).bad).toBeNull()
    writeFileSync(cast, text.toString().replace('bold', 'calm'))
    expect((await verify()).bad).toMatchObject({
      file: expect.stringContaining(terminal ?? '-'),
      what: expect.stringContaining('was changed'),
    })
    expect(await replay(terminal ?? '')).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/AUDIT_BROKEN.*is not what was recorded/),
    })
    renameSync(cast, `${cast}.away`)
    expect((await verify()).bad).toMatchObject({ what: 'the recording of a terminal is missing' })
    renameSync(`${cast}.away`, cast)
    writeFileSync(cast, text)
    expect((await verify()).bad).toBeNull()
  })

  test('is played again, without what would make a terminal act; raw as it is', async () => {
    const [, terminal = ''] = /(t[0-9a-f]{20})\.\d+\.cast$/.exec(cast) ?? []
    const { stdout } = await replay(terminal, '--speed', '2', '--idle-limit', '0.5')
    expect(stdout).toContain('\x1b[1mbold\x1b[0m')
    expect(stdout).not.toContain('\x1b]')
    expect((await replay(terminal, '--json')).stdout).toBe(readFileSync(cast, 'utf8'))
    expect(await replay('t00000000000000000000')).toMatchObject({ code: 125, stderr: expect.stringMatching(/NOT_FOUND/) })
    expect(await replay(terminal, '--speed', '0')).toMatchObject({ code: 125, stderr: expect.stringMatching(/no number above 0/) })
  })
})

describe('recordings', () => {
  let log: SpecLog
  beforeAll(() => {
    log = new SpecLog()
  })
  afterAll(() => log[Symbol.dispose]())
  const size = { columns: 80, rows: 24 }
  const ends = () => log.records.filter(({ kind }) => kind === 'terminal-end')

  test('have no secret in them that is known: stored ones, and those of variables, in whatever pieces they are shown', () => {
    const folder = join(log.folder, 'audit')
    for (const name of [folder, join(log.folder, 'secrets')]) mkdirSync(name)
    writeFileSync(join(log.folder, 'secrets', 'KEY_1'), 'a-stored-secret')
    {
      using writer = log.open({ folder, terminals: { mode: 'all', maxBytes: 100_000 } })
      const session = writer.terminals.begin('i1', size, { API_TOKEN: 'of-a-variable', HOME: '/home/user' })
      const shown = '$ cat .env\r\nKEY=a-stored-secret TOKEN=of-a-variable\r\na-stored-song, /home/user; a-stored-'
      for (const letter of shown) session?.recording.shown(Buffer.from(letter))
      session?.recording.shown(Buffer.from('\x1b[1ma-stored-secreta-stored-secret\x1b[0m'))
      for (const letter of 'of-a-variable\r') session?.recording.typed(Buffer.from(letter))
      session?.recording.shown(Buffer.from('the end of-a-vari'))
      session?.recording.end()
      const [path = ''] = castsOf(folder)
      const saidBy = (wanted: string) =>
        eventsOf(path)
          .slice(1)
          .map(([, kind, text]) => (kind === wanted ? text : ''))
          .join('')
      expect(saidBy('o')).toBe(
        '$ cat .env\r\nKEY=[redacted] TOKEN=[redacted]\r\na-stored-song, /home/user; a-stored-\x1b[1m[redacted][redacted]\x1b[0mthe end of-a-vari',
      )
      expect(saidBy('i')).toBe('[redacted]\r')
    }
  })

  test.each([
    ['one that another begins with', ['letmein', 'letmein-and-out'], '<letmein-and-out> letmein-and-in', '<#> #-and-in'],
    ['some that overlap', ['aaaaaa', 'aaabbb', 'bbbccc'], 'xaaaaaaaabbbcccx aaabbbccc', 'x#x #'],
    ['one within another that is not there in the end', ['first-second-third', 'second'], 'first-second-thirty', 'first-#-thirty'],
    ['one that is long, and shown almost', [`${'a'.repeat(16_000)}b`, 'c'.repeat(16_000)], `${'a'.repeat(20_000)}b${'c'.repeat(15_999)}`],
  ])('take out known values, wherever a piece ends: %s', (_, known, shown, left = `${'a'.repeat(4000)}#${'c'.repeat(15_999)}`) => {
    for (const size of [shown.length, 1, 7]) {
      const taking = new TakingOut(known)
      const pieces = Array.from({ length: Math.ceil(shown.length / size) }, (_, at) => taking.next(shown.slice(at * size, (at + 1) * size)))
      expect([...pieces, taking.end()].join('').replaceAll('[redacted]', '#')).toBe(left)
    }
  })

  test('are not begun with more secrets than can be looked for; which is said', () => {
    writeFileSync(join(log.folder, 'secrets', 'KEY_2'), 's'.repeat(70_000))
    using writer = log.open({ folder: join(log.folder, 'audit'), terminals: { mode: 'output', maxBytes: 100_000 } })
    const begun = (length: number) => writer.terminals.begin('i1', size, { API_TOKEN: 't'.repeat(length), PATH: 'p'.repeat(100_000) })
    expect(() => begun(32 * 1024 + 1)).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message: expect.stringContaining('32769') }))
    const session = begun(32 * 1024)
    session?.recording.shown(Buffer.from(`${'t'.repeat(32 * 1024)}${'s'.repeat(70_000)}.`))
    session?.recording.end()
    const texts = castsOf(join(log.folder, 'audit')).map((path) => eventsOf(path).at(-1)?.[2])
    expect(texts).toContain('[redacted][redacted].')
  })

  test('are as long as they may be and no longer; what is typed is in them where the operator wants it', async () => {
    using writer = log.open({ terminals: { mode: 'all', maxBytes: 2000 } })
    const session = writer.terminals.begin('i1', size)
    session?.recording.typed(Buffer.from('ls\r'))
    for (let number = 0; number < 100; number += 1) session?.recording.shown(Buffer.alloc(100, 'x'))
    session?.recording.end()
    session?.recording.end()
    expect(ends()).toMatchObject([{ truncated: true, sandbox: 'i1' }])
    const [cast = ''] = castsOf(log.folder)
    expect(statSync(cast).size).toBeLessThan(2300)
    const events = eventsOf(cast).slice(1)
    expect(events[0]).toMatchObject([expect.any(Number), 'i', 'ls\r'])
    expect(events.at(-1)).toMatchObject([expect.any(Number), 'm', expect.stringContaining('the session went on')])
    using off = log.open()
    expect(off.terminals.begin('i1', size)).toBeUndefined()
  })

  test('of one sandbox are together as long as four may be, at once or one after the other', () => {
    using writer = log.open({ terminals: { mode: 'output', maxBytes: 2000 } })
    const ofSandbox = { bytes: 0 }
    const others = { bytes: 0 }
    for (let round = 0; round < 3; round += 1) {
      const sessions = Array.from({ length: 3 }, () => writer.terminals.begin('i1', size, {}, ofSandbox))
      const another = writer.terminals.begin('i2', size, {}, others)
      for (let number = 0; number < 15; number += 1) for (const session of sessions) session?.recording.shown(Buffer.alloc(100, 'x'))
      another?.recording.shown(Buffer.from('said\n'))
      for (const session of [...sessions, another]) session?.recording.end()
    }
    const said = ends().slice(-12)
    expect(said.map(({ sandbox, truncated }) => (truncated ? 'cut' : sandbox))).toEqual([
      ...['i1', 'i1', 'i1', 'i2'],
      ...['cut', 'cut', 'cut', 'i2'],
      ...['cut', 'cut', 'cut', 'i2'],
    ])
    // Nothing but their heads, and that there would have been more.
    expect(ofSandbox.bytes).toBeLessThan(8000 + 6 * 300)
  })

  test('are as heavy in what is kept as they are long', async () => {
    using writer = log.open({ terminals: { mode: 'output', maxBytes: 20_000 }, segmentBytes: 1, keep: { bytes: 15_000, ms: 0 } })
    for (let number = 0; number < 4; number += 1) {
      const session = writer.terminals.begin('i1', size)
      session?.recording.shown(Buffer.alloc(10_000, 'x'))
      session?.recording.end()
      writer.checkpoint()
    }
    expect(castsOf(log.folder)).toHaveLength(1)
    expect((await log.verify()).bad).toBeNull()
  })

  test('of a host that was killed are vouched for by the next one; they are removed with their records', async () => {
    {
      using writer = log.open({ terminals: { mode: 'output', maxBytes: 2000 } })
      writer.terminals.begin('i2', size)
      expect(castsOf(log.folder).some((path) => path.endsWith('.part'))).toBe(true)
    }
    expect(ends().at(-1)).toMatchObject({ sandbox: 'i2', interrupted: true })
    const [part, alive] = [2 ** 22 + 1, process.ppid].map((pid) => join(log.folder, 'terminals', `t${'0'.repeat(20)}.${pid}.i3.part`))
    writeFileSync(part ?? '', '{"version":2}\n[0.1,"o","half')
    writeFileSync(alive ?? '', '')
    {
      using writer = log.open()
      writer.terminals.sealOrphans()
      rmSync(alive ?? '')
    }
    expect(ends().at(-1)).toMatchObject({ sandbox: 'i3', interrupted: true, bytes: 28 })
    expect(castsOf(log.folder)).toHaveLength(3)
    expect((await log.verify()).bad).toBeNull()
    appendFileSync(castsOf(log.folder)[0] ?? '', ' ')
    expect((await log.verify()).bad).not.toBeNull()
    using writer = log.open({ segmentBytes: 1, keep: { bytes: 1, ms: 0 } })
    writer.append(command('later'))
    writer.checkpoint()
    writer.checkpoint()
    expect(castsOf(log.folder)).toEqual([])
    expect((await log.verify()).bad).toBeNull()
  })

  test('that cannot be written are an error, so that nothing is shown unrecorded', () => {
    using writer = log.open({ terminals: { mode: 'output', maxBytes: 2000 } })
    rmSync(join(log.folder, 'terminals'), { recursive: true })
    writeFileSync(join(log.folder, 'terminals'), '')
    expect(() => writer.terminals.begin('i4', size)).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE' }))
    rmSync(join(log.folder, 'terminals'))
    mkdirSync(join(log.folder, 'terminals'))
  })
})

test('of what those inside wrote, a terminal is shown what draws, wherever it is cut', () => {
  for (const [written, shown] of [
    ['plain \x1b[31mred\x1b[0m\r\n', 'plain \x1b[31mred\x1b[0m\r\n'],
    ['\x1b[2J\x1b[1;1H\x1b[?25l\x1b[?1049hx', '\x1b[2J\x1b[1;1H\x1b[?25l\x1b[?1049hx'],
    ['a\x1b]0;title\x07b\x1b]52;c;aGk=\x1b\\c', 'abc'],
    ['a\x1bP$qm\x1b\\b\x1b_Gq\x1b\\c\x1b^x\x1b\\d', 'abcd'],
    // Reports, which the terminal types by itself; sizes and titles of windows; keys.
    ['a\x1b[6nb\x1b[cc\x1b[>0cd\x1b[21te\x1b[?1$pf\x1b[!pg\x1b[?1000hh\x1b[?1004hi', 'abcdefghi'],
    // The same letters, which ask behind a question mark, or bring a mouse back; two of them erase.
    ['a\x1b[?ub\x1b[?4mc\x1b[?2;1;0Sd\x1b[?1000re\x1b[1;1;1;1;1Tf\x1b[?2J\x1b[2T', 'abcdef\x1b[?2J\x1b[2T'],
    ['a\x9d0;title\x9cb\x9b6nc\x05d', 'a0;titleb6ncd'],
    ['\x1b(0lqk\x1b(B\x1b7\x1b8\x1bc', '\x1b(0lqk\x1b(B\x1b7\x1b8'],
  ] as const) {
    expect(new Harmless().write(written)).toBe(shown)
    const piecewise = new Harmless()
    expect([...written].map((character) => piecewise.write(character)).join('')).toBe(shown)
  }
})
