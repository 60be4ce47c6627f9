import { LANGUAGES } from '@caisson/wire'
import { SIGNAL_AFTER_MS } from './javascript.ts'
import type { Runtime } from './runtime.ts'

/** The JavaScript runtime, which removes the types first and checks none. */
export const typescript: Runtime = {
  name: 'typescript',
  aliases: LANGUAGES.typescript,
  mend: 'Install Node as /usr/bin/node, then run `./caisson setup`.',
  zygote: false,
  renews: true,
  signalAfterMs: SIGNAL_AFTER_MS,
  start: { command: 'node', args: ['--experimental-vm-modules', '/caisson/runtimes/node/main.cjs', 'typescript'], env: {} },
}
