import { LANGUAGES } from '@caisson/wire'
import type { Runtime } from './runtime.ts'

export const javascript: Runtime = {
  name: 'javascript',
  aliases: LANGUAGES.javascript,
  zygote: false,
  // The flag is for programs that are ES modules: they are made from text, as no file need be there.
  start: { command: 'node', args: ['--experimental-vm-modules', '/caisson/runtimes/node/main.cjs', 'javascript'], env: {} },
}
