import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, type WriteStream } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Transform } from 'node:stream'
import type { Answer, Field, Question } from './exchange.ts'
import { valuesOf } from './fields.ts'

const MAX_BYTES = 4 * 1024 ** 3
const MAX_ONE_BYTES = 512 * 1024 ** 2
/** Limit on unwritten data; beyond it, the answer is not cached. */
const MAX_UNWRITTEN_BYTES = 8 * 1024 ** 2
/** Fields that a cached answer may depend on. The request carries these and nothing else that could influence the answer. */
const ASKED_WITH = ['accept', 'accept-encoding']
/** Fields that prevent caching: the answer is personal or partial. */
const PERSONAL = /^(authorization|cookie|range|if-.*)$/
/** Fields that whoever serves the answer generates anew. */
const NOT_KEPT = /^(connection|date|age|keep-alive|transfer-encoding|content-length|alt-svc)$/

interface Kept {
  readonly url: string
  readonly fields: readonly Field[]
  readonly blob: string
  readonly bytes: number
}

/** A cached answer, and whether the server declared it immutable. */
export interface Found {
  readonly answer: () => Answer
  readonly isImmutable: boolean
  /** Fields for revalidation; none: it cannot be revalidated. */
  readonly validators: readonly Field[]
}

/** A cache of package registries' answers, by request, with bodies by SHA-256. Only complete answers to requests that anybody could make. */
export class KeptAnswers {
  readonly #folder: string
  readonly #notice: (line: string) => void
  readonly #maxBytes: number
  #bytes: Promise<number> | undefined

  /** `notice`: called once for each damaged answer. */
  constructor(home: string, notice: (line: string) => void, maxBytes: number = MAX_BYTES) {
    this.#folder = join(home, 'cache')
    this.#notice = notice
    this.#maxBytes = maxBytes
  }

  /** The request with everything personal removed; undefined: its answer is for one client only. */
  plainly(question: Question): Question | undefined {
    if (question.method !== 'GET' || question.body !== null || question.fields.some(isPersonal)) return undefined
    return { ...question, fields: question.fields.filter(([name]) => ASKED_WITH.includes(name.toLowerCase())) }
  }

  async find(url: string, question: Question): Promise<Found | undefined> {
    const path = this.#entry(url, question)
    const kept = await entryIn(path)
    if (kept === undefined) return undefined
    if (kept === 'damaged' || kept.url !== url) return await this.#damaged(url, path)
    const blob = join(this.#folder, kept.blob)
    // An unreadable one counts as missing: it is requested again or, offline, refused.
    const found = await stat(blob).catch(() => undefined)
    // Evicted to make room.
    if (found === undefined) return undefined
    if (found.size !== kept.bytes) return await this.#damaged(url, path)
    const now = new Date()
    // Least recently used is evicted first. If the time cannot be updated, it goes a little early.
    await Promise.all([path, blob].map((file) => utimes(file, now, now))).catch(() => undefined)
    const [tag, changed] = [valuesOf(kept.fields, 'etag')[0], valuesOf(kept.fields, 'last-modified')[0]]
    const validators: Field[] = tag !== undefined ? [['if-none-match', tag]] : changed !== undefined ? [['if-modified-since', changed]] : []
    const isImmutable = valuesOf(kept.fields, 'cache-control').some((value) => /\bimmutable\b/i.test(value))
    return { answer: () => answerOf(kept, blob, () => void this.#damaged(url, path)), isImmutable, validators }
  }

  /** For an answer about to arrive. Undefined: it must not be cached. */
  async keep(url: string, question: Question, answer: Answer): Promise<Keeping | undefined> {
    if (!mayKeep(answer)) return undefined
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    const fields = answer.fields.filter(([name]) => !NOT_KEPT.test(name.toLowerCase()))
    const path = join(this.#folder, `new-${randomBytes(8).toString('hex')}`)
    return new Keeping(path, async (blob, bytes) => {
      await rename(path, join(this.#folder, blob))
      const entry = `${path}.json`
      await writeFile(entry, JSON.stringify({ url, fields, blob, bytes } satisfies Kept), { mode: 0o600 })
      await rename(entry, this.#entry(url, question))
      await this.#grown(bytes)
    })
  }

  async #damaged(url: string, path: string): Promise<undefined> {
    await rm(path, { force: true }).catch(() => undefined)
    this.#notice(`what was kept of ${plain(url)} is damaged, and is not used (${path})`)
  }

  #entry(url: string, question: Question): string {
    const asked = ASKED_WITH.map((name) => valuesOf(question.fields, name))
    return join(
      this.#folder,
      `${createHash('sha256')
        .update(JSON.stringify([url, asked]))
        .digest('hex')}.json`,
    )
  }

  async #grown(bytes: number): Promise<void> {
    this.#bytes = (this.#bytes ?? this.#sizes().then((all) => all.reduce((sum, { size }) => sum + size, 0) - bytes)).then(
      (sum) => sum + bytes,
    )
    if ((await this.#bytes) <= this.#maxBytes) return
    const all = (await this.#sizes()).sort((one, other) => one.usedMs - other.usedMs)
    let sum = all.reduce((total, { size }) => total + size, 0)
    for (const { path, size } of all) {
      if (sum <= this.#maxBytes * 0.9) break
      await rm(path, { force: true })
      sum -= size
    }
    this.#bytes = Promise.resolve(sum)
  }

  async #sizes(): Promise<{ path: string; size: number; usedMs: number }[]> {
    const names = await readdir(this.#folder)
    const all = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#folder, name)
        // Another process has evicted it meanwhile.
        const found = await stat(path).catch(() => undefined)
        return found === undefined ? [] : [{ path, size: found.size, usedMs: found.mtimeMs }]
      }),
    )
    return all.flat()
  }
}

/** An answer being cached while it passes. A failure only means that it is not cached. */
export class Keeping {
  readonly #path: string
  readonly #hash = createHash('sha256')
  readonly #done: (blob: string, bytes: number) => Promise<void>
  readonly #file: WriteStream
  #bytes = 0
  #isLost = false

  constructor(path: string, done: (blob: string, bytes: number) => Promise<void>) {
    this.#path = path
    this.#done = done
    this.#file = createWriteStream(path, { mode: 0o600 })
    this.#file.on('error', () => {
      this.#isLost = true
    })
  }

  take(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (this.#bytes > MAX_ONE_BYTES || this.#file.writableLength > MAX_UNWRITTEN_BYTES) this.#isLost = true
    if (this.#isLost) return
    this.#hash.update(bytes)
    this.#file.write(bytes)
  }

  /** `isWhole` false: it was cut off. */
  async end(isWhole: boolean): Promise<void> {
    try {
      await new Promise<void>((resolve) => this.#file.end(resolve))
      if (isWhole && !this.#isLost) await this.#done(`${this.#hash.digest('hex')}.body`, this.#bytes)
    } finally {
      await rm(this.#path, { force: true })
    }
  }
}

function isPersonal([name, value]: Field): boolean {
  return PERSONAL.test(name.toLowerCase()) || (name.toLowerCase() === 'cache-control' && /\bno-store\b/i.test(value))
}

function mayKeep({ status, fields }: Answer): boolean {
  const varied = valuesOf(fields, 'vary').flatMap((value) =>
    value
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
  const isForOne = valuesOf(fields, 'cache-control').some((value) => /\b(no-store|private)\b/i.test(value))
  return status === 200 && !isForOne && valuesOf(fields, 'set-cookie').length === 0 && varied.every((name) => ASKED_WITH.includes(name))
}

/** Undefined: there is none. */
async function entryIn(path: string): Promise<Kept | 'damaged' | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (failure) {
    return failure instanceof Error && 'code' in failure && failure.code === 'ENOENT' ? undefined : 'damaged'
  }
  try {
    return JSON.parse(text) as Kept
  } catch {
    return 'damaged'
  }
}

/** A query may contain anything. */
function plain(url: string): string {
  return url.split('?')[0] ?? ''
}

/** Streams the body and verifies its hash before the last bytes are sent, so that a file damaged on disk is not taken for complete. */
function answerOf({ fields, blob, bytes }: Kept, path: string, damaged: () => void): Answer {
  const hash = createHash('sha256')
  let last: Buffer | undefined
  let isWhole = false
  const body = new Transform({
    transform(chunk: Buffer, _, done) {
      hash.update(chunk)
      done(null, last)
      last = chunk
    },
    flush(done) {
      isWhole = `${hash.digest('hex')}.body` === blob
      if (!isWhole) damaged()
      done(isWhole ? null : new Error('a kept answer has changed'), isWhole ? last : undefined)
    },
  })
  const file = createReadStream(path)
  file.on('error', (failure) => body.destroy(failure))
  file.pipe(body)
  return { status: 200, fields: [...fields, ['content-length', String(bytes)]], body, isWhole: () => isWhole, trailers: () => [] }
}
