import { readFileSync } from 'node:fs'
import { Module } from 'node:module'
import { dirname, extname, join, resolve } from 'node:path'
import process from 'node:process'
import { isModule } from './cell.ts'
import { type Failure, INTERRUPTED } from './failures.ts'
import type { Loader } from './loader.ts'
import { isTypeScript, withoutTypes } from './without-types.ts'

interface MainModule {
  id: string
  filename: string
  paths: string[]
  _compile(code: string, path: string): void
}
interface ModuleParts {
  new (path: string): MainModule
  _nodeModulePaths(folder: string): string[]
  _cache: Record<string, MainModule>
}

/** Node's exit code when a module awaits something that can never settle. */
const UNSETTLED = 13
const INTERRUPTED_CODE = 130

/** Receives the exception that ends a program, and returns what to show of it. */
type Tell = (error: unknown) => Failure

/** Runs a program from its text, as `node FILE ARGS` would. */
export function runProgram(task: { code: string; path: string; args: string[] }, typed: boolean, loader: Loader, tell: Tell) {
  const path = resolve(task.path)
  process.argv = [process.execPath, path, ...task.args]
  const work = async () => {
    const typescript = typed || isTypeScript(path)
    if (isEsm(path, task.code, typescript)) {
      const module = await loader.module(typescript ? withoutTypes(task.code, path) : task.code, path)
      await module.evaluate()
    } else {
      const Main = Module as unknown as ModuleParts
      const main = new Main(path)
      Object.assign(main, { id: '.', filename: path, paths: Main._nodeModulePaths(dirname(path)) })
      Object.assign(process, { mainModule: main })
      Main._cache[path] = main
      main._compile(typescript ? withoutTypes(task.code, path, 'cjs') : task.code, path)
    }
  }
  toItsEnd(work, tell)
}

/** `work` has the process to itself and ends it: by `process.exit`, by an exception, or when nothing is left to wait for. */
export function toItsEnd(work: () => Promise<void>, tell: Tell): void {
  process.on('uncaughtExceptionMonitor', tell)
  let waiting = true
  process.on('exit', () => {
    if (waiting) process.exitCode ??= UNSETTLED
  })
  work().then(
    () => {
      waiting = false
    },
    (error: unknown) => {
      waiting = false
      fail(error, tell)
    },
  )
}

/** Reports the failure itself: if it were rethrown, Node would show this place in our code. */
function fail(error: unknown, tell: Tell): void {
  if (process.listenerCount('uncaughtException') > 0) {
    setImmediate(() => {
      throw error
    })
    return
  }
  const failure = tell(error)
  process.stderr.write(failure === INTERRUPTED ? `${failure.traceback}\n` : `${failure.traceback}\n\nNode.js ${process.version}\n`)
  process.exit(failure === INTERRUPTED ? INTERRUPTED_CODE : 1)
}

/** Decides as Node does: by extension, by the nearest package.json, by the source. */
function isEsm(path: string, code: string, typescript: boolean): boolean {
  const extension = extname(path)
  if (/^\.m[jt]s$/.test(extension)) return true
  if (/^\.c[jt]s$/.test(extension)) return false
  const type = packageType(dirname(path))
  if (type !== undefined) return type === 'module'
  try {
    return isModule(typescript ? withoutTypes(code, path) : code)
  } catch (failure) {
    // The compiler will report what is wrong.
    if (failure instanceof SyntaxError) return false
    throw failure
  }
}

function packageType(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    try {
      const { type } = JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')) as { type?: string }
      return type ?? undefined
    } catch (failure) {
      if ((failure as NodeJS.ErrnoException).code === undefined && !(failure instanceof SyntaxError)) throw failure
    }
    if (at === dirname(at)) return undefined
  }
}
