import { LANGUAGES } from '@caisson/wire'
import { fieldsEndingInNul } from './fields.ts'
import type { Runtime } from './runtime.ts'

/**
 * JShell, which is part of every JDK. Its folder and environment are fixed at its start, so a shell reads the first request and then starts it. It starts with
 * SIGINT ignored, and gets interrupts only as requests.
 */
export const java: Runtime = {
  name: 'java',
  aliases: LANGUAGES.java,
  mend: 'Install a JDK (a JRE has no jshell): as root, `apt-get install -y default-jdk-headless`, then `./caisson setup`.',
  zygote: false,
  renews: true,
  start: { command: 'bash', args: ['--noprofile', '--norc', '/caisson/runtimes/java/start.bash'], env: {} },
  encode: (request) => fieldsEndingInNul('java', request),
}
