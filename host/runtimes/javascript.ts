import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

/**
 * Node's way to make SIGINT interrupt code that does not yield takes its other handlers away and puts them back: for a moment before and after such
 * code the signal would end the process. Code that yields needs no signal.
 */
export const SIGNAL_AFTER_MS = 100

export const javascript: Runtime = {
  name: 'javascript',
  aliases: LANGUAGES.javascript,
  mend: 'Install Node as /usr/bin/node, then run `./caisson setup`.',
  zygote: false,
  renews: true,
  signalAfterMs: SIGNAL_AFTER_MS,
  // The flag is for programs that are ES modules: they are made from text, as no file need be there.
  start: { command: 'node', args: ['--experimental-vm-modules', '/caisson/runtimes/node/main.cjs', 'javascript'], env: {} },
}
