import { setImmediate as immediate } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settled } from '../../host/lifetimes.ts'
import type { Held, RunRequest } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'
import { hasR } from './has-r.ts'

// What R has besides what every language promises (languages.spec.ts).

const signal = new AbortController().signal
let host: SpecHost
let held: Held
beforeAll(async () => {
  host = await SpecHost.open()
  held = await host.door.create({ profile: 'default', template: 'base', timeoutMs: null }, signal)
})
afterAll(() => host[Symbol.asyncDispose]())

test.skipIf(hasR)('where the machine has no R, it is refused by its name, with what to do', async () => {
  for (const word of ['r', 'R', 'Rscript']) {
    await expect(held.createContext({ language: word }, signal)).rejects.toMatchObject({
      code: 'LANGUAGE_UNAVAILABLE',
      message: expect.stringContaining('template base has no r. Install R'),
      hint: expect.stringContaining('apt-get install -y r-base-core'),
    })
  }
})

describe.runIf(hasR)('R, which the templates have only where the machine has it', () => {
  let contextId: string
  beforeAll(async () => {
    contextId = (await held.createContext({ language: 'R' }, signal)).id
  })
  const run = (code: string, more: Partial<RunRequest> = {}) => held.runCode({ code, contextId, ...more }, () => undefined, signal)

  test.each([
    ['20 + 22', '[1] 42'],
    ['"a \'string\' of 漢"', '[1] "a \'string\' of 漢"'],
    ['f <- function(x) {\n  x  # kept\n}\nf', 'function(x) {\n  x  # kept\n}'],
    ['NULL', 'NULL'],
    [
      'setClass("Point", slots = c(x = "numeric")); setMethod("show", "Point", function(object) cat("at", object@x, "\\n"))\nnew("Point", x = 3)',
      'at 3 ',
    ],
    ['c(a = 1, b = NA)', ' a  b \n 1 NA '],
    ['"tab\\tand \\u0001"', '[1] "tab\\tand \\001"'],
  ])('the value of the last line is the result: %j', async (code, text) => {
    const { results, stdout, stderr } = await run(code)
    expect({ results, stdout, stderr }).toEqual({ results: [{ text, isMainResult: true }], stdout: '', stderr: '' })
  })

  test.each(['declared <- 1', 'invisible(7)', 'cat("")', '# only words', '', 'for (i in 1:2) i'])('%j has none', async (code) => {
    expect(await run(code)).toMatchObject({ results: [], stdout: '' })
  })

  test('values of the lines before it are printed, as R does', async () => {
    expect(await run('1:3\ninvisible(4)\nx <- "x"\nx\n5')).toMatchObject({
      stdout: '[1] 1 2 3\n[1] "x"\n',
      results: [{ text: '[1] 5' }],
    })
  })

  test('a data frame is text, a table and data', async () => {
    const code = `data.frame(n = c(1.5, NA), i = 1:2, b = c(TRUE, NA), s = c("a<b\\"\\n", NA), f = factor(c("u", "v")), d = as.Date("2026-01-02") + 0:1)`
    const { results } = await run(code)
    expect(results).toEqual([
      {
        text: expect.stringMatching(/^ +n i +b +s f +d\n1 1\.5 1 TRUE/),
        html: expect.stringMatching(/<th>n<\/th>[\s\S]*<td>a&lt;b/),
        data: { n: [1.5, null], i: [1, 2], b: [true, null], s: ['a<b"\n', null], f: ['u', 'v'], d: ['2026-01-02', '2026-01-03'] },
        isMainResult: true,
      },
    ])
    expect((await run('data.frame(a = integer())')).results).toMatchObject([{ data: { a: [] } }])
    const long = (await run('data.frame(a = 1:100)')).results
    expect(long).toMatchObject([{ html: expect.stringContaining('<p>100 rows, the first 60 of them</p>') }])
  })

  test('every page that is drawn is a PNG of its own, before the main result; what is not drawn is none', async () => {
    const size = (png = '') => {
      const bytes = Buffer.from(png, 'base64')
      expect(bytes.subarray(1, 4).toString()).toBe('PNG')
      return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
    }
    const { results, stdout } = await run(
      'plot(1:3)\nlines(3:1)\nhist(c(1, 2, 2))\noptions(repr.plot.width = 2, repr.plot.height = 1)\ndev.new()\npar(mar = rep(0, 4)); pie(1:2)\n6',
    )
    expect(results.map(({ png }) => png && size(png))).toEqual([[840, 840], [840, 840], [240, 120], undefined])
    expect({ stdout, last: results.at(-1) }).toEqual({ stdout: '', last: { text: '[1] 6', isMainResult: true } })
    expect((await run('options(repr.plot.width = NULL, repr.plot.height = NULL); plot(1)')).results).toHaveLength(1)
    expect((await run('png("own.png"); plot(1); invisible(dev.off()); file.exists("own.png")')).results).toEqual([
      { text: '[1] TRUE', isMainResult: true },
    ])
    expect(await run('plot(2); stop("after it")')).toMatchObject({ results: [{ isMainResult: false }], error: { value: 'after it' } })
  })

  test('an error has its name, its words and its own frames', async () => {
    const { error } = await run('f <- function(a) g(a)\ng <- function(b) stop("no ", b)\nf("go")')
    expect(error).toEqual({
      name: 'Error',
      value: 'no go',
      traceback: 'Error in g(a): no go\nTraceback:\n1. f("go")\n2. g(a)\n3. stop("no ", b)',
    })
    expect((await run('undeclared')).error).toEqual({
      name: 'Error',
      value: "object 'undeclared' not found",
      traceback: "Error: object 'undeclared' not found",
    })
    expect(
      (await run('stop(structure(class = c("lost", "error", "condition"), list(message = "where?", call = NULL)))')).error,
    ).toMatchObject({
      name: 'lost',
      value: 'where?',
    })
    expect((await run('options(warn = 2); f <- function() as.integer("x"); f()')).error?.traceback).toMatch(
      /NAs introduced by coercion\nTraceback:\n1. f\(\)$/,
    )
    await run('options(warn = 0)')
    const endless = (await run('f <- function() f(); f()')).error
    expect(endless?.value).toMatch(/infinite recursion|stack/)
    expect(endless?.traceback.split('\n').length).toBeLessThan(60)
    expect((await run('print.odd <- function(x, ...) stop("cannot be shown"); structure(1, class = "odd")')).error).toMatchObject({
      value: 'cannot be shown',
      traceback: expect.stringContaining('print.odd(shown)'),
    })
    expect((await run('6')).results).toMatchObject([{ text: '[1] 6' }])
  })

  test('what cannot be read is shown with its place, and none of it runs', async () => {
    const { error, stdout } = await run('cat("ran")\nx <- (1 +\n  2 3)')
    expect({ name: error?.name, stdout }).toEqual({ name: 'ParseError', stdout: '' })
    expect(error?.traceback).toMatch(/cell:3:5: unexpected numeric constant[\s\S]*2 3\n +\^/)
  })

  test('warnings and messages are told while they come, and code that listens for them hears them first', async () => {
    const touched = settled<unknown>()
    const touch = async () => held.start({ command: 'touch', args: ['/tmp/heard'] }, signal).then(({ exit }) => exit)
    const lines = [
      'f <- function() warning("careful")',
      'f(); message("so")',
      'while (!file.exists("/tmp/heard")) Sys.sleep(0.01)',
      'withCallingHandlers(warning("none"), warning = function(w) invokeRestart("muffleWarning"))',
      'cat("then\\n")',
      'log(-1)',
    ]
    const { stdout, stderr } = await held.runCode(
      { code: lines.join('\n'), contextId },
      (event) => {
        if (event.type === 'stderr' && event.text.includes('so')) touched.resolve(touch())
      },
      signal,
    )
    expect({ stdout, stderr }).toEqual({
      stdout: 'then\n',
      stderr: 'Warning message:\nIn f() : careful\nso\nWarning message:\nIn log(-1) : NaNs produced\n',
    })
    await touched.promise
    expect((await run('tryCatch(warning("w"), warning = function(w) "heard")')).results).toMatchObject([{ text: '[1] "heard"' }])
  })

  test('nobody is there to be asked', async () => {
    expect(
      await run('c(readline("name? "), length(readLines(stdin())), length(readLines("stdin")), system("cat | wc -c", intern = TRUE))'),
    ).toMatchObject({
      results: [{ text: expect.stringMatching(/""\s+"0"\s+"0"\s+"0"/) }],
    })
  })

  test('code that closes all connections closes its own', async () => {
    expect((await run('own <- file("/dev/null"); closeAllConnections(); nrow(showConnections())')).results).toMatchObject([
      { text: '[1] 0' },
    ])
    expect((await run('length(readLines("stdin"))')).results).toMatchObject([{ text: '[1] 0' }])
  })

  test('interrupts that come before a run has begun, or when it is over, end no other', async () => {
    for (let round = 0; round < 8; round += 1) {
      const running = run('1')
      await immediate()
      await held.interrupt(contextId, signal)
      await running
      expect((await run('Sys.sleep(0.01); 5')).results).toMatchObject([{ text: '[1] 5' }])
    }
    const waiting = run('tryCatch(Sys.sleep(60), interrupt = function(condition) "heard by the code")')
    await immediate()
    await held.interrupt(contextId, signal)
    const { results, error } = await waiting
    // Before its first line has begun, nothing of it can hear.
    expect(error?.name ?? results[0]?.text).toMatch(/^KeyboardInterrupt$|heard by the code/)
    expect((await run('Sys.sleep(0.01); 5')).results).toMatchObject([{ text: '[1] 5' }])
  })

  test('code that quits ends the context; the next run begins anew', async () => {
    const own = (await held.createContext({ language: 'r' }, signal)).id
    expect(await run('kept <- 1; quit(status = 4)', { contextId: own })).toMatchObject({ exitCode: 4, error: { name: 'RuntimeDied' } })
    expect((await run('exists("kept")', { contextId: own })).results).toMatchObject([{ text: '[1] FALSE' }])
    await held.deleteContext(own, signal)
  })

  test('a program gets its arguments, prints its values, and fails as one of Rscript', async () => {
    const program = { path: '/home/user/x.R', args: ['Ada', 'Grace'] }
    const code = '#!/usr/bin/env Rscript\ncommandArgs(TRUE)\nsub("--file=", "", grep("--file=", commandArgs(), value = TRUE))\n42'
    expect(await run(code, { program })).toMatchObject({
      stdout: '[1] "Ada"   "Grace"\n[1] "/home/user/x.R"\n[1] 42\n',
      exitCode: 0,
      results: [],
    })
    const failed = await run('f <- function() stop("went wrong")\nf()\ncat("never")', { program })
    expect(failed).toMatchObject({ stdout: '', exitCode: 1 })
    expect(failed.stderr).toBe('Error in f(): went wrong\nTraceback:\n1. f()\n2. stop("went wrong")\nExecution halted\n')
    expect((await run('length(commandArgs(TRUE))')).results).toMatchObject([{ text: '[1] 0' }])
  })

  test('no two start with the same chance; one whose state is another’s draws the same until it is told of its own', async () => {
    const drawn = async (code: string) => (await run(code)).results[0]?.text
    const other = (await held.createContext({ language: 'r' }, signal)).id
    const first = (await run('runif(1)', { contextId: other })).results[0]?.text
    await held.deleteContext(other, signal)
    expect(await drawn('runif(1)')).not.toBe(first)
    await run('state <- .Random.seed')
    const rewound = '.Random.seed <- state; '
    const once = await drawn(`${rewound}runif(4)`)
    expect(await drawn(`${rewound}runif(4)`)).toBe(once)
    // What draws plots is the runtime's.
    const renew = 'environment(getOption("device"))$renew(strrep("07", 32)); runif(4)'
    const renewed = [await drawn(rewound + renew), await drawn(rewound + renew)]
    expect(new Set([once, ...renewed, undefined]).size).toBe(4)
  })
})
