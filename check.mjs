// npm run check: everything that can be judged without running the product, at once.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(fileURLToPath(import.meta.url))
const tool = (name) => join(root, 'node_modules', '.bin', name)
const native = join(root, 'native')

const checks = [
  { name: 'types', command: tool('tsc'), args: ['--pretty', 'false'] },
  { name: 'lint, format and walls', command: tool('biome'), args: ['check', '--error-on-warnings', '--max-diagnostics=50'] },
  { name: 'dead code and dependencies', command: tool('knip'), args: ['--no-progress'] },
  { name: 'rust format', command: 'cargo', args: ['fmt', '--all', '--check', '--', '--color=never'], cwd: native },
  {
    name: 'rust lint',
    command: 'cargo',
    args: ['clippy', '--quiet', '--release', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings'],
    cwd: native,
  },
]

/** Runs one check to its end; what it says is kept, to be shown if it fails. */
function run({ name, command, args, cwd = root }) {
  const started = Date.now()
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    const said = []
    const end = (passed) =>
      resolve({ name, passed, seconds: (Date.now() - started) / 1000, said: Buffer.concat(said).toString().trimEnd() })
    child.stdout.on('data', (bytes) => said.push(bytes))
    child.stderr.on('data', (bytes) => said.push(bytes))
    child.on('error', (error) => {
      said.push(Buffer.from(`${command} could not be started: ${error.message}`))
      end(false)
    })
    child.on('close', (code) => end(code === 0))
  })
}

const results = await Promise.all(checks.map(run))
for (const { name, said } of results.filter(({ passed }) => !passed)) console.log(`---- ${name}\n${said}\n`)
for (const { name, passed, seconds } of results) console.log(`${passed ? 'passed' : 'FAILED'}  ${name} (${seconds.toFixed(1)} s)`)
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1
