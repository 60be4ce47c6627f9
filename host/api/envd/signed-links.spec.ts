import { expect, test } from 'vitest'
import { type Question, SignedLinks, sign } from './signed-links.ts'

type SandboxRecord = NonNullable<ReturnType<SignedLinks['find']>>

const NOW_MS = 1_800_000_000_000
const TOKEN = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0'

function link(query: Record<string, string>): Question {
  return {
    request: { method: 'GET' },
    query: new URLSearchParams({ path: 'hello.txt', username: 'user', ...query }),
  } as unknown as Question
}

/** So many that live, and how often somebody went through them. */
class Living {
  looks = 0
  readonly #records: SandboxRecord[]

  constructor(count: number) {
    const tokens = Array.from({ length: count - 1 }, (_, number) => `token${number}`)
    this.#records = [TOKEN, ...tokens].map((accessToken) => ({ id: `i${accessToken}`, accessToken }) as SandboxRecord)
  }

  live(): SandboxRecord[] {
    this.looks += 1
    return this.#records
  }
}

const WRONG = `v1_${'A'.repeat(43)}`

test('a link leads to the sandbox with whose token it was signed, until it expires', () => {
  const [living, links] = [new Living(3), new SignedLinks(() => NOW_MS)]
  // As E2B's own signs it.
  expect(sign(link({}), TOKEN)).toBe('v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E')
  expect(links.find(link({ signature: sign(link({}), TOKEN) }), living)?.id).toBe(`i${TOKEN}`)
  for (const [seconds, found] of [
    [NOW_MS / 1000, `i${TOKEN}`],
    [NOW_MS / 1000 - 1, undefined],
  ] as const) {
    const query = { signature_expiration: String(seconds) }
    expect(links.find(link({ ...query, signature: sign(link(query), TOKEN) }), living)?.id).toBe(found)
  }
})

test('for one that is no signature, or has expired, no token is tried', () => {
  const [living, links] = [new Living(3), new SignedLinks(() => NOW_MS)]
  for (const signature of ['', 'v1_', WRONG.slice(1), `${WRONG}A`, `v1_${'\u00e9'.repeat(43)}`]) {
    expect(links.find(link({ signature }), living)).toBeUndefined()
  }
  expect(links.find(link({ signature: WRONG, signature_expiration: '-5' }), living)).toBeUndefined()
  expect(living.looks).toBe(0)
})

test('who follows links that nobody made is refused before many tokens have been tried, and for a moment', () => {
  let nowMs = NOW_MS
  const [living, links] = [new Living(2000), new SignedLinks(() => nowMs)]
  const follow = (signature: string) => links.find(link({ signature }), living)
  const right = sign(link({}), TOKEN)
  // What is found costs nothing.
  for (let visit = 0; visit < 50; visit += 1) expect(follow(right)?.id).toBe(`i${TOKEN}`)
  const before = living.looks
  const refusals = Array.from({ length: 100 }, () => {
    try {
      return follow(WRONG)
    } catch (failure) {
      return failure
    }
  })
  expect(refusals.at(-1)).toMatchObject({ code: 'OVERLOADED', retryAfterS: 1 })
  expect(living.looks - before).toBe(20)
  nowMs += 1000
  expect(follow(right)?.id).toBe(`i${TOKEN}`)
})
