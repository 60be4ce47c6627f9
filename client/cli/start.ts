#!/usr/bin/env node
// Runs the command line (main.ts, bundled as one function in verbs.cjs beside this file) from V8's code cache of an earlier run, because compiling takes a
// tenth of a second of every run. The cache lies below `compiled`, by verb and by the hash of the bundle that it was made from.

import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { Script } from 'node:vm'
import { bringAuthoritiesBack } from '../settings.ts'

/** Set by build.mjs: a hash of the bundle. V8 itself compares only the length. */
declare const BUNDLE: string

bringAuthoritiesBack()

const path = join(__dirname, 'verbs.cjs')
const verb = /^[a-z]+$/.exec(process.argv[2] ?? '')?.[0] ?? 'none'
// These runs compile little. Caching that for all would leave the rest to be compiled on every run.
const isShort = process.argv.some((word) => word === '--help' || word === '-h' || word === '--dry-run')
const kept = join(__dirname, 'compiled', `${BUNDLE}-${verb}${isShort ? '-short' : ''}`)

// Compiling a schema costs more than validating the few values of one run; a daemon validates millions.
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

/** Called once everything that this verb needs has been compiled. A user without write access here compiles each time. */
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
