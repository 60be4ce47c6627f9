import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { constants, homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Duplex, Readable } from 'node:stream'
import { setImmediate as immediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Context } from '../../host/runtimes/context.ts'
import type { Runtime, RuntimeProcess } from '../../host/runtimes/runtime.ts'
import type { Execution, ProcessExit, RunEvent, RunRequest } from '../../wire/index.ts'

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const never = new AbortController().signal
type Piece = { channel: 'stdout' | 'stderr' | 'control'; bytes: Uint8Array; atMs: number }

/** A runtime's program without a wall, spoken to by the same `Context`: what holds here is the runtime's own doing. */
export class Bare implements AsyncDisposable {
  readonly context: Context
  readonly process: RuntimeProcess
  readonly folder: string

  private constructor(context: Context, process: RuntimeProcess, folder: string) {
    this.context = context
    this.process = process
    this.folder = folder
  }

  static async start(runtime: Runtime, env: Record<string, string> = {}): Promise<Bare> {
    const folder = await mkdtemp(join(tmpdir(), 'cai-runtime-'))
    const inside = { ...environment(folder), ...env }
    const process = spawned(runtime, folder, inside)
    const context = new Context(process, runtime, { id: 'c1', language: runtime.name, cwd: folder })
    // Not awaited: the first run goes out before the answer is there.
    context.init({ cwd: folder, env: inside }, never).catch(() => undefined)
    return new Bare(context, process, folder)
  }

  async run(code: string, more: Partial<RunRequest> = {}, on: (event: RunEvent) => void = () => undefined): Promise<Execution> {
    return await this.context.run({ code, ...more }, on, never)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.context.close({ name: 'Closed', value: 'the spec is over', traceback: '' }, never)
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** The interpreters that a sandbox would have: the template's Python, this Node, the machine's bash. */
function environment(folder: string): Record<string, string> {
  return { PATH: `${pythonFolder()}:${dirname(process.execPath)}:/usr/bin:/bin`, HOME: folder, LANG: 'C.UTF-8' }
}

/** Set-up builds it before the specs run. */
export function pythonFolder(): string {
  const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
  const template = join(templates, 'code-interpreter')
  const made = JSON.parse(readFileSync(join(template, 'template.json'), 'utf8')) as { python: { folder: string } }
  return join(template, made.python.folder, 'bin')
}

function spawned(runtime: Runtime, folder: string, env: Record<string, string>): RuntimeProcess {
  const { command, args } = runtime.start
  const programs = join(ROOT, 'dist', 'runtimes')
  const child = spawn(
    command,
    args.map((argument) => argument.replaceAll('/caisson/runtimes', programs)),
    { cwd: folder, env: { ...env, ...runtime.start.env }, stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true },
  )
  const pieces = new Pieces(child)
  const exit = new Promise<ProcessExit>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, name) => {
      const signal = name === null ? undefined : constants.signals[name]
      resolve(signal === undefined ? { exitCode: code ?? 0 } : { exitCode: 128 + signal, signal })
    })
  })
  exit.then(
    () => pieces.end(),
    () => pieces.end(),
  )
  const control = child.stdio[3] as Duplex
  control.on('error', () => undefined)
  return {
    pid: child.pid ?? -1,
    output: pieces,
    exit,
    sendControl: async (bytes) => {
      control.write(bytes)
    },
    // As the agent does: to the whole group.
    signal: async (number) => {
      if (child.exitCode === null && child.signalCode === null) process.kill(-(child.pid ?? Number.NaN), number)
    },
  }
}

/** What a child says, with the promise of the agent kept: what it printed before a control line comes before it. */
class Pieces implements AsyncIterable<Piece> {
  readonly #ready: Piece[] = []
  #wake: () => void = () => undefined
  #over = false
  #printed = 0
  #control: Promise<void> = Promise.resolve()

  constructor(child: ChildProcess) {
    for (const channel of ['stdout', 'stderr'] as const) {
      child[channel]?.on('data', (bytes: Buffer) => {
        this.#printed += 1
        this.#push({ channel, bytes, atMs: Date.now() })
      })
    }
    ;(child.stdio[3] as Readable).on('data', (bytes: Buffer) => {
      this.#control = this.#control.then(async () => {
        for (let before = -1; before !== this.#printed; ) {
          before = this.#printed
          await immediate()
          await immediate()
        }
        this.#push({ channel: 'control', bytes, atMs: Date.now() })
      })
    })
  }

  end(): void {
    this.#control = this.#control.then(() => {
      this.#over = true
      this.#wake()
    })
  }

  #push(piece: Piece): void {
    this.#ready.push(piece)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Piece> {
    for (;;) {
      const piece = this.#ready.shift()
      if (piece !== undefined) yield piece
      else if (this.#over) return
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }
}
