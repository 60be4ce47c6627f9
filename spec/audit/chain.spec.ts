import { appendFileSync, copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { segments } from '../../host/audit/segments.ts'
import { SigningKey } from '../../host/audit/signing-key.ts'
import { SmallDisk } from '../walls/small-disk.ts'
import { command, SpecLog } from './logs.ts'
import { Writer } from './writers.ts'

let log: SpecLog
beforeEach(() => {
  log = new SpecLog()
})
afterEach(() => log[Symbol.dispose]())

/** The same log before and after a change of its bytes. */
async function changed(change: (lines: string[]) => string[]) {
  writeFileSync(log.path, `${change(log.lines).join('\n')}\n`)
  return log.verify()
}

describe('the chain', () => {
  test('each record has its number and the hash of the one before; what was written verifies', async () => {
    log.write(5)
    const records = log.records
    expect(records.map(({ kind }) => kind)).toEqual(['begin', ...Array(5).fill('command'), 'checkpoint'])
    expect(records.map(({ seq }) => seq)).toEqual([0, 1, 2, 3, 4, 5, 6])
    expect(records[0]?.['prev']).toBe('0'.repeat(64))
    const verified = await log.verify()
    expect(verified).toMatchObject({ bad: null, records: 7, files: 1, checkpoints: 1, unsigned: 1, told: [], end: { seq: 6 } })
  })

  test('a change of any byte is found, at the record that it is in', async () => {
    log.write(6)
    const whole = readFileSync(log.path)
    const starts = log.lines.map((_, index) => log.lines.slice(0, index).join('\n').length + (index === 0 ? 0 : 1))
    // Spread over the file: in names and texts, numbers, hashes, signatures, newlines.
    for (let at = 3; at < whole.length; at += 37) {
      const bent = Buffer.from(whole)
      bent[at] = (bent[at] ?? 0) ^ (1 << (at % 8))
      writeFileSync(log.path, bent)
      const { bad } = await log.verify()
      const line = starts.filter((start) => start <= at).length
      expect(bad, `byte ${at}`).not.toBeNull()
      expect(bad?.file).toBe('audit.jsonl')
      // What is no line any more may show at the one behind it.
      expect([line, line + 1], `byte ${at}: ${bad?.what}`).toContain(bad?.line)
    }
    writeFileSync(log.path, whole)
    expect((await log.verify()).bad).toBeNull()
  })

  test('what is deleted, repeated, moved, put in or cut off is found and named', async () => {
    log.write(6)
    const whole = readFileSync(log.path)
    const bad = async (change: (lines: string[]) => string[]) => {
      writeFileSync(log.path, whole)
      return (await changed(change)).bad
    }
    expect(await bad((lines) => lines.toSpliced(3, 1))).toMatchObject({
      line: 4,
      what: expect.stringContaining('records 3 to 3 are missing'),
    })
    expect(await bad((lines) => lines.toSpliced(3, 0, lines[3] ?? ''))).toMatchObject({ line: 5, what: expect.stringContaining('twice') })
    expect(await bad((lines) => lines.toSpliced(2, 2, lines[3] ?? '', lines[2] ?? ''))).toMatchObject({ line: 3 })
    expect(await bad((lines) => lines.toSpliced(3, 0, '{"kind":"command"}'))).toMatchObject({
      line: 4,
      what: expect.stringContaining('no record'),
    })
    expect(await bad((lines) => lines.slice(0, 1))).toMatchObject({ line: 1, what: 'records 1 to 7 are missing behind it' })
    expect(await bad((lines) => lines.slice(2))).toMatchObject({ line: 1, what: expect.stringContaining('records 0 to 1 are missing') })
    for (const left of [7, 6, 5]) {
      expect(await bad((lines) => lines.slice(0, left))).toMatchObject({ line: left, what: expect.stringContaining('missing behind it') })
    }
    rmSync(log.head)
    expect(await bad((lines) => lines)).toMatchObject({ file: 'audit.head' })
  })

  test('a chain made anew, with every hash right, has no signature', async () => {
    log.write(3)
    const other = new SpecLog()
    other.write(3)
    copyFileSync(other.path, log.path)
    copyFileSync(other.head, log.head)
    expect((await log.verify()).bad).toMatchObject({ line: 1, what: expect.stringContaining('the key is that of') })
    other[Symbol.dispose]()
  })

  test('a log that was cut while nobody wrote is found by the next writer, which says so and goes on', async () => {
    log.write(4)
    truncateSync(log.path, 700)
    log.write(1)
    const broken = log.lines.map((line) => line.includes('"kind":"broken"') && line).find((line) => line !== false) ?? '{}'
    expect(JSON.parse(broken as string)).toMatchObject({ what: 'the log has been cut', left: 700 })
    expect((await log.verify()).bad).not.toBeNull()
  })

  test('lines that no writer wrote are found by the next one', async () => {
    log.write(1)
    appendFileSync(log.path, '{"kind":"command","sandbox":"i1"}\n')
    log.write(1)
    expect(log.records.filter(({ kind }) => kind === 'broken')).toMatchObject([{ lines: 1 }])
    expect((await log.verify()).bad).toMatchObject({ line: 4, what: expect.stringContaining('no record') })
  })
})

describe('writers', () => {
  test('several at once stand in one order, each in its own', async () => {
    log.write(0)
    const names = ['one', 'two', 'three']
    const writers = names.map((name) => new Writer(log.path, name, 400))
    expect(await Promise.all(writers.map(({ ended }) => ended))).toEqual(['0', '0', '0'])
    expect(await log.verify()).toMatchObject({
      bad: null,
      told: [],
      records: 1201 + log.records.filter(({ kind }) => kind === 'checkpoint').length,
    })
    for (const name of names) {
      const numbers = log.records.filter(({ sandbox }) => sandbox === name).map(({ number }) => number)
      expect(numbers).toEqual(Array.from({ length: 400 }, (_, index) => index))
    }
  })

  test('kill -9 at any moment leaves a log that is right, and that others go on with', async () => {
    log.write(1)
    for (let round = 0; round < 6; round += 1) {
      const writer = new Writer(log.path, `w${round}`, 1e9, 30_000)
      await writer.going
      writer.kill()
      expect(await writer.ended).toBe('SIGKILL')
    }
    log.write(1)
    const { bad, told } = await log.verify()
    expect(bad).toBeNull()
    for (const { what } of told) expect(what).toMatch(/^half a line/)
  })

  test('half a line is ended, kept, and owned up to', async () => {
    log.write(2)
    const half = (log.lines[1] ?? '').slice(0, 90)
    appendFileSync(log.path, half)
    expect(await log.verify()).toMatchObject({ bad: null, told: [{ line: 5, what: expect.stringContaining('half a line of 90 bytes') }] })
    log.write(1)
    expect(log.lines[4]).toBe(half)
    expect(JSON.parse(log.lines[5] ?? '')).toMatchObject({ kind: 'torn', bytes: 90 })
    expect(await log.verify()).toMatchObject({ bad: null, told: [{ line: 5 }] })
    // What it owns up to is that and nothing else.
    const bent = log.lines.map((line, index) => (index === 4 ? line.replace('prev', 'prex') : line))
    writeFileSync(log.path, `${bent.join('\n')}\n`)
    expect((await log.verify()).bad).toMatchObject({ line: 5 })
  })

  test('a clock that is set back is told, and the order stays', async () => {
    log.write(1)
    const head = readFileSync(log.head, 'utf8').split(' ')
    const ahead = Number(head[5]) + 3_600_000
    writeFileSync(log.head, `${[...head.slice(0, 5), ahead].join(' ').padEnd(191)}\n`)
    log.write(1)
    expect(log.records.find(({ kind }) => kind === 'clock')).toMatchObject({ was: new Date(ahead).toISOString() })
    expect(await log.verify()).toMatchObject({ bad: null, told: [{ what: expect.stringContaining('the clock was set back') }] })
  })

  test('a full disk: the record is refused, nothing of it stays, and later ones are right', async () => {
    using disk = new SmallDisk(log.folder, 256)
    using writer = log.open()
    writer.append(command('before'))
    disk.fill()
    expect(() => {
      for (let number = 0; number < 100; number += 1) writer.append(command('x'.repeat(4000)))
    }).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE', message: expect.stringMatching(/No space left|were written/) }))
    disk.free()
    writer.append(command('after'))
    writer.checkpoint()
    expect(await log.verify()).toMatchObject({ bad: null, told: [] })
    expect(log.records.at(-2)).toMatchObject({ command: 'after' })
  })

  test('a log that cannot be opened is AUDIT_UNWRITABLE', () => {
    expect(() => log.open({ folder: join(log.folder, 'missing') })).toThrow(expect.objectContaining({ code: 'AUDIT_UNWRITABLE' }))
  })
})

describe('files', () => {
  test('full ones are put aside, and the chain goes on through them', async () => {
    {
      using writer = log.open({ segmentBytes: 20_000 })
      for (let number = 0; number < 2000; number += 1) writer.append(command(`c${number}`))
    }
    expect(segments(log.folder).length).toBeGreaterThan(3)
    expect(await log.verify()).toMatchObject({ bad: null, told: [], files: segments(log.folder).length })
    const [oldest, second] = segments(log.folder)
    const text = readFileSync(second?.path ?? '', 'utf8')
    writeFileSync(second?.path ?? '', text.replace('"command":"c', '"command":"d'))
    expect((await log.verify()).bad).toMatchObject({ file: second?.name })
    writeFileSync(second?.path ?? '', text)
    rmSync(oldest?.path ?? '')
    expect((await log.verify()).bad).toMatchObject({
      file: second?.name,
      line: 1,
      what: expect.stringContaining('no record says that they were removed'),
    })
  })

  test('whoever appends while another puts the file aside goes on in the new one', async () => {
    log.write(0)
    const writers = ['one', 'two'].map((name) => new Writer(log.path, name, 600))
    using host = log.open({ segmentBytes: 5_000 })
    let isOver = false
    const over = Promise.all(writers.map(({ ended }) => ended)).then(() => {
      isOver = true
    })
    while (!isOver) {
      host.append(command('from the host'))
      host.checkpoint()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await over
    expect(await log.verify()).toMatchObject({ bad: null, told: [] })
    expect(segments(log.folder).length).toBeGreaterThan(1)
  })

  test('those that are not to be kept are removed, which is recorded', async () => {
    {
      using writer = log.open({ segmentBytes: 20_000, keep: { bytes: 60_000, ms: 0 } })
      for (let number = 0; number < 4000; number += 1) writer.append(command(`c${number}`))
    }
    const kept = segments(log.folder)
    expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(300_000)
    const verified = await log.verify()
    expect(verified.bad).toBeNull()
    expect(verified.told.map(({ what }) => what)).toContainEqual(expect.stringContaining('was removed when its time was over'))
  })

  test('the log of another installation is refused, and named; so is its key', async () => {
    log.write(1)
    const other = new SpecLog()
    other.write(1)
    for (const name of ['audit.jsonl', 'audit.head']) copyFileSync(join(other.folder, name), join(log.folder, name))
    expect(() => log.open()).toThrow(
      expect.objectContaining({ code: 'AUDIT_FOREIGN', message: expect.stringContaining('audit.jsonl, line 1') }),
    )
    expect((await other.verify(SigningKey.open(log.folder).public)).bad).toMatchObject({ line: 1 })
    other[Symbol.dispose]()
  })

  test('a log from before there was a chain is gone on with, and told to have none', async () => {
    writeFileSync(log.path, '{"ts":"2026-01-01T00:00:00.000Z","kind":"death"}\n{"ts":"2026-01-01T00:00:01.000Z","kind":"death"}\n')
    log.write(1)
    log.write(1)
    expect(await log.verify()).toMatchObject({ bad: null, told: [{ line: 1, what: expect.stringContaining('2 lines from before') }] })
  })
})
