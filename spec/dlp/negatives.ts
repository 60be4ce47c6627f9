import { createHash, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { deflateSync, gzipSync } from 'node:zlib'

const repository = resolve(import.meta.dirname, '../..')
const MAX_BYTES = 256 * 1024
const FILES = 140

/** Random, and the same each time. */
function generator(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const many = (count: number, one: (index: number) => string): string => Array.from({ length: count }, (_, index) => one(index)).join('\n')

/** Texts of kinds that every program sends, a hundred lines each. */
function* written(): Generator<readonly [name: string, text: string | Buffer]> {
  for (let round = 1; round <= 6; round += 1) {
    const random = generator(round)
    const pick = <One>(...all: One[]): One => all[random(all.length)] as One
    const digits = (count: number): string => Array.from({ length: count }, () => random(10)).join('')
    const hash = (kind: string, index: number) => createHash(kind).update(`${round} ${index}`).digest('hex')
    yield [`uuids ${round}`, many(200, () => randomUUID())]
    yield [
      `hashes ${round}`,
      many(100, (index) => `${hash('sha256', index)}  dist/part-${index}.js\n${hash('sha1', index)} ${hash('md5', index)}`),
    ]
    yield [
      `integrity ${round}`,
      many(
        100,
        (index) =>
          `"integrity": "sha512-${createHash('sha512')
            .update(String(index * round))
            .digest('base64')}",`,
      ),
    ]
    yield [
      `orders ${round}`,
      many(
        100,
        (index) =>
          `order ${pick('#', 'no. ', 'PO-')}${digits(pick(6, 8, 10))} item ${index} sku ${pick('AB', 'XK', 'QZ')}-${digits(5)} qty ${random(9)}`,
      ),
    ]
    yield [
      `phones ${round}`,
      many(100, () =>
        pick(
          `+1 (${digits(3)}) 555-${digits(4)}`,
          `+49 30 ${digits(7)}`,
          `0${digits(3)} ${digits(6)}`,
          `+44 20 7${digits(3)} ${digits(4)}`,
          `555-0${digits(3)}`,
        ),
      ),
    ]
    yield [
      `times ${round}`,
      many(
        200,
        (index) =>
          `${1_700_000_000_000 + index * 60_000 + random(9999)} 2026-0${1 + random(9)}-1${random(9)}T0${random(9)}:2${random(9)}:3${random(9)}.${digits(6)}Z`,
      ),
    ]
    yield [`snowflakes ${round}`, many(100, () => `"id": ${1 + random(8)}${digits(17)}, "id_str": "${1 + random(8)}${digits(18)}"`)]
    yield [`decimals ${round}`, many(200, () => `[${random(90)}.${digits(13)}, -${random(180)}.${digits(14)}]`)]
    yield [
      `metrics ${round}`,
      many(
        150,
        () =>
          `http_requests_total{code="${pick(200, 404, 500)}",pod="api-${hash('md5', random(99)).slice(0, 10)}-${pick('x7k2p', 'qq9zt')}"} ${digits(8)} ${1_700_000_000_000 + random(99_999)}`,
      ),
    ]
    yield [
      `web log ${round}`,
      many(
        100,
        () =>
          `10.${random(255)}.${random(255)}.${random(255)} - - [01/Mar/2026:10:00:0${random(9)} +0000] "GET /static/app.${hash('md5', random(99)).slice(0, 8)}.js HTTP/1.1" 200 ${digits(5)} "-" "Mozilla/5.0"`,
      ),
    ]
    yield [
      `table ${round}`,
      many(
        150,
        (index) =>
          `${index},${pick('Anna', 'Ben', 'Chen')},${digits(5)},${random(2)},${random(999)}.${digits(2)},2026-01-${10 + random(18)},${pick('open', 'closed')}`,
      ),
    ]
    yield [
      `difference ${round}`,
      `diff --git a/src/a.ts b/src/a.ts\nindex ${hash('sha1', round).slice(0, 10)}..${hash('sha1', round + 9).slice(0, 10)} 100644\n${many(80, (index) => `${pick('+', '-', ' ')}  const value${index} = await read(password, { token: undefined, secret: process.env.SECRET_${index} })`)}`,
    ]
    yield [
      `settings ${round}`,
      many(60, (index) =>
        pick(
          `password: \${DB_PASSWORD_${index}}`,
          'api_key = os.environ["API_KEY"]',
          'secret: <your secret here>',
          'token = get_token()',
          'PASSWORD=changeme',
          'client_secret: ********',
          `passwordMinLength: ${random(30)}`,
          'access_token: null',
          'password: str = Field(min_length=12)',
        ),
      ),
    ]
    yield [
      `image ${round}`,
      `data:image/png;base64,${Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), deflateSync(Buffer.from(many(4000, () => digits(8))))]).toString('base64')}`,
    ]
    yield [`noise ${round}`, Buffer.from(Array.from({ length: 60_000 }, () => random(256)))]
    yield [`packed ${round}`, gzipSync(many(4000, (index) => `line ${index} ${pick('ok', 'retry', 'done')} ${digits(6)}`))]
    yield [
      `words ${round}`,
      many(100, () =>
        Array.from({ length: 12 }, () =>
          pick('the', 'secret', 'of', 'a', 'password', 'is', 'internationalization', 'key', 'token', 'task-force', 'risk', 'desk-bound'),
        ).join(' '),
      ),
    ]
  }
}

/** Code, its maps, lock files, documents, tables, pictures: what is on any developer's disk. */
function* found(): Generator<readonly [name: string, text: Buffer]> {
  const names = [
    'package-lock.json',
    'native/Cargo.lock',
    'dist/caisson.cjs',
    'dist/sdk.mjs',
    'examples/sales-report/sales.csv',
    'README.md',
    'docs/promises.md',
    'biome.json',
  ]
  const all: string[] = []
  const walk = (folder: string, depth: number): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name)
      if (entry.isDirectory() && depth < 4) walk(path, depth + 1)
      else if (entry.isFile() && /\.(m?js|cjs|json|map|md|d\.ts|css|ya?ml|txt|png|wasm)$/.test(entry.name)) all.push(path)
    }
  }
  walk(join(repository, 'node_modules'), 0)
  const large = all.filter((path) => statSync(path).size > 1500)
  const step = Math.max(1, Math.floor(large.length / FILES))
  const chosen = [...names.map((name) => join(repository, name)), ...large.filter((_, index) => index % step === 0).slice(0, FILES)]
  for (const path of chosen) yield [path.slice(repository.length + 1), readFileSync(path).subarray(0, MAX_BYTES)]
}

export function negatives(): { name: string; bytes: Buffer }[] {
  return [...written(), ...found()].map(([name, text]) => ({ name, bytes: typeof text === 'string' ? Buffer.from(text) : text }))
}
