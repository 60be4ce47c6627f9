import { writeSync } from 'node:fs'
import process from 'node:process'
import vm from 'node:vm'
import { Runtime } from './runtime.ts'

const DESCRIPTOR = 3
const emitWarning = process.emitWarning.bind(process)

/** Cells and programs are built on these features, so Node's warning that they are experimental is suppressed. */
const EXPECTED = ['VM Modules', 'vm.USE_MAIN_CONTEXT_DEFAULT_LOADER']
process.emitWarning = ((warning: string | Error, ...more: unknown[]) => {
  if (typeof warning === 'string' && EXPECTED.some((name) => warning.startsWith(`${name} is an experimental feature`))) return
  ;(emitWarning as (...all: unknown[]) => void)(warning, ...more)
}) as typeof process.emitWarning

if (vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER === undefined) {
  const message = `Node.js ${process.version} is too old: 20.12 or newer is needed`
  writeSync(DESCRIPTOR, `${JSON.stringify({ type: 'failed', code: 'LANGUAGE_UNAVAILABLE', message })}\n`)
} else {
  new Runtime(process.argv[2] === 'typescript').serve()
}
