import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { checkExamples } from '../../host/scan/checked-rules.ts'
import { Reader } from '../../host/scan/reading.ts'
import { SCAN_RULES, SCANNED, type Scanned, ScanRules } from '../../policy/index.ts'

/** `unseen` was written without a look at the rules, and no rule was changed for it. */
type Kind = 'hostile' | 'unseen' | 'benign'

function snippets(kind: Kind, language: Scanned): string[] {
  return readFileSync(new URL(`corpus/${kind}-${language}.txt`, import.meta.url), 'utf8').split(/^---\n/m)
}

let reader: Reader
const rules = new ScanRules(SCAN_RULES)
beforeAll(async () => {
  reader = await Reader.open()
})

async function found(kind: Kind): Promise<{ all: number; found: number; missed: string[]; hit: string[] }> {
  const result = { all: 0, found: 0, missed: [] as string[], hit: [] as string[] }
  for (const language of SCANNED) {
    for (const code of snippets(kind, language)) {
      const findings = rules.judge(await reader.facts(language, code), ['hostile'])
      result.all += 1
      if (findings.length > 0) result.found += 1
      if (findings.length > 0) result.hit.push(`${language}: ${findings.map(({ rule, what }) => `${rule} (${what})`).join(', ')}: ${code}`)
      else result.missed.push(`${language}: ${code}`)
    }
  }
  return result
}

const rate = ({ found: some, all }: { found: number; all: number }) => `${some} of ${all} (${((100 * some) / all).toFixed(1)} %)`

describe('the corpus', () => {
  test('of what is hostile, in three languages, all but a few are found', async () => {
    const hostile = await found('hostile')
    process.stdout.write(`scan: hostile snippets found: ${rate(hostile)}\n`)
    expect(hostile.all).toBeGreaterThanOrEqual(540)
    expect(hostile.missed.length, hostile.missed.join('\n')).toBeLessThanOrEqual(12)
  })

  test('of what no rule was made for, more than half', async () => {
    const unseen = await found('unseen')
    process.stdout.write(
      `scan: hostile snippets that no rule was made for, found: ${rate(unseen)}\n${unseen.missed.map((one) => `  missed ${one}`).join('\n')}\n`,
    )
    expect(unseen.found / unseen.all).toBeGreaterThan(0.5)
  })

  test('of what is benign, next to nothing', async () => {
    const benign = await found('benign')
    process.stdout.write(`scan: benign snippets taken for hostile: ${rate(benign)}\n`)
    expect(benign.all).toBeGreaterThanOrEqual(400)
    expect(benign.hit.length, benign.hit.join('\n')).toBeLessThanOrEqual(3)
  })
})

test('every rule finds its own examples, and leaves alone what it is to leave alone', async () => {
  await expect(checkExamples(rules, SCANNED, reader)).resolves.toBeUndefined()
})

test('a rule whose own example fails, or whose pattern is none, is refused by name', async () => {
  const [one] = SCAN_RULES
  const wrong = new ScanRules([{ ...one, name: 'wrong-rule', pattern: '^never$' }])
  await expect(checkExamples(wrong, SCANNED, reader)).rejects.toMatchObject({
    code: 'POLICY_INVALID',
    message: expect.stringContaining('wrong-rule'),
  })
  expect(() => new ScanRules([{ ...one, name: 'wrong-rule', pattern: '(' }])).toThrow(/scan rule wrong-rule: pattern/)
  expect(() => new ScanRules([{ ...one, severity: 3 }])).toThrow(/scan\.rules\.0/)
})

describe('input that was made to be slow', () => {
  test('a million bytes: refused by their size, whatever is in them', async () => {
    for (const part of ['x = 1\n', '[', '"\\']) {
      await expect(reader.facts('python', part.repeat(1_000_000 / part.length))).rejects.toThrow('it is longer than 256 KiB')
    }
  })

  test.each<[string, Scanned, string]>([
    ['open brackets', 'python', '('.repeat(250_000)],
    ['calls in calls', 'python', `${'f('.repeat(60_000)}${')'.repeat(60_000)}`],
    ['unary minus', 'javascript', `${'-'.repeat(200_000)}1`],
    ['arrays in arrays', 'javascript', '['.repeat(200_000)],
    ['command substitutions', 'shell', '$('.repeat(100_000)],
    ['values of values of values', 'python', `${'x = [y for a in range(4000) for y in (a, a)]\n'.repeat(400)}exec(x)`],
    [
      'a text that grows without end',
      'python',
      `a = 'aaaaaaaa'\n${"a = a.replace('a', a)\n".repeat(200)}b = '{0}{0}{0}'.format(a)\nexec(b * 999)`,
    ],
    [
      'a list that is handed on and on',
      'javascript',
      `let a = 'x'.repeat(999)\n${'a = [a, a, a].map((s) => s + s).join(a)\n'.repeat(300)}eval(a)`,
    ],
    ['words that are very long', 'shell', `a=${'x'.repeat(60_000)}\necho ${'$a'.repeat(40)} ${'$a '.repeat(20_000)} | sh`],
    ['lines of nothing', 'python', `${'\n'.repeat(100_000)}%`],
    ['a line of spaces', 'python', `%ls\n${' '.repeat(100_000)}x`],
    ['code in texts in code', 'shell', Array.from({ length: 12 }).reduce<string>((code) => `bash -c ${JSON.stringify(code)}`, 'ls')],
  ])('%s: an answer, or a refusal in words', async (_what, language, code) => {
    const outcome = await reader.facts(language, code).then(
      (facts) => facts.length,
      (failure: Error) => failure.message,
    )
    if (typeof outcome === 'string') expect(outcome).toMatch(/^(it is|it has|it says|code in texts|it cannot)/)
    else expect(outcome).toBeLessThanOrEqual(20_000)
  })
})
