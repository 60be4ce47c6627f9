#!/usr/bin/env node
// Runs the command line (main.ts, bundled as one function in verbs.cjs beside this file) from what V8 made of it at an earlier run. To compile it anew takes a tenth of
// a second of every run; what was compiled is kept below `compiled`, by the verb, and under the name of the very bundle that it was made of.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'
import { bringAuthoritiesBack } from '../settings.ts'

/** Told by build.mjs: a hash of the bundle. V8 itself compares no more than the length. */
declare const BUNDLE: string

bringAuthoritiesBack()

const path = join(__dirname, 'verbs.cjs')
const verb = /^[a-z]+$/.exec(process.argv[2] ?? '')?.[0] ?? 'none'
// What ends before it begins compiles little: kept for all, it would leave the rest to be compiled at each run.
const isShort = process.argv.some((word) => word === '--help' || word === '-h' || word === '--dry-run')
const kept = join(__dirname, 'compiled', `${BUNDLE}-${verb}${isShort ? '-short' : ''}`)

// A parser that is compiled for itself costs more than the few values of one run; a daemon reads millions.
if (verb !== 'up') Object.assign(globalThis, { __zod_globalConfig: { jitless: true } })
const cachedData = readOrNone(kept)
const script = new Script(readFileSync(path, 'latin1'), {
  filename: path,
  ...(cachedData === undefined ? {} : { cachedData }),
})
if (cachedData === undefined || script.cachedDataRejected === true) process.once('exit', (code) => code === 0 && keep())
const module = { exports: {} }
script.runInThisContext()(module.exports, createRequire(path), module, path, (name: string) => import(name))

function readOrNone(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch {
    return undefined
  }
}

/** When all that this verb needs has been compiled. Whoever may not write here compiles each time. */
function keep(): void {
  try {
    mkdirSync(dirname(kept), { recursive: true })
    const fresh = `${kept}.${process.pid}`
    writeFileSync(fresh, script.createCachedData())
    renameSync(fresh, kept)
  } catch {
    return
  }
}
