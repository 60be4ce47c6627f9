import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

/** The JavaScript runtime, with the types taken out first; nothing is type-checked. */
export const typescript: Runtime = {
  name: 'typescript',
  aliases: LANGUAGES.typescript,
  zygote: false,
  start: { command: 'node', args: ['--experimental-vm-modules', '/caisson/runtimes/node/main.cjs', 'typescript'], env: {} },
}
