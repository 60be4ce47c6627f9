import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

/**
 * To interrupt code that does not yield, Node replaces the other SIGINT handlers and restores them afterwards. For a moment before and after such code, the
 * signal would end the process. Code that yields needs no signal.
 */
export const SIGNAL_AFTER_MS = 100

export const javascript: Runtime = {
  name: 'javascript',
  aliases: LANGUAGES.javascript,
  mend: 'Install Node as /usr/bin/node, then run `./caisson setup`.',
  zygote: false,
  renews: true,
  signalAfterMs: SIGNAL_AFTER_MS,
  // The flag is for ES module programs, which are built from text, because there need not be a file.
  start: { command: 'node', args: ['--experimental-vm-modules', '/caisson/runtimes/node/main.cjs', 'javascript'], env: {} },
}
