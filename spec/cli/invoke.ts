import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Invoked {
  exitCode: number | null
  stdout: string
  stderr: string
}

interface InvokeOptions {
  stdin?: string
  /** Leave standard input open. */
  held?: boolean
  cwd?: string
  env?: Record<string, string>
  /** Called as output comes, with all of it so far. */
  onOutput?: (text: string, child: ChildProcess) => void
}

/** A state folder of this spec alone, on the templates that set-up has built; a working folder; and the command line to run there. */
export class CommandLine implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'cai-'))
  readonly work = join(this.folder, 'work')
  readonly home = join(this.folder, 'h')

  static async open(): Promise<CommandLine> {
    const line = new CommandLine()
    await mkdir(line.work)
    return line
  }

  get environment(): NodeJS.ProcessEnv {
    const templates = process.env['CAISSON_TEMPLATES'] ?? join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    return { ...process.env, CAISSON_HOME: this.home, CAISSON_TEMPLATES: templates, CAISSON_ZYGOTE_IDLE_MS: '5000' }
  }

  /** `./caisson ARGS`, to its end. */
  async caisson(args: readonly string[], options: InvokeOptions = {}): Promise<Invoked> {
    return await this.invoke(join(ROOT, 'caisson'), args, options)
  }

  invoke(command: string, args: readonly string[], options: InvokeOptions = {}): Promise<Invoked> {
    return new Promise((resolve, reject) => {
      const child = spawn(command, args, {
        cwd: options.cwd ?? this.work,
        env: { ...this.environment, ...options.env },
        stdio: ['pipe', 'pipe', 'pipe'],
      })
      const texts = { stdout: '', stderr: '' }
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].setEncoding('utf8').on('data', (text: string) => {
          texts[name] += text
          options.onOutput?.(texts.stdout + texts.stderr, child)
        })
      }
      // A command that does not read its input closes it: that is its right.
      child.stdin.on('error', () => undefined)
      if (!options.held) child.stdin.end(options.stdin ?? '')
      child.on('error', reject)
      child.on('close', (exitCode) => resolve({ exitCode, ...texts }))
    })
  }

  /** What sandboxes of this state folder have left on the machine: their folders, and processes that name the folder. */
  async leftovers(): Promise<string[]> {
    const folders = await readdir(join(this.home, 'sandboxes')).catch(() => [])
    const left = folders.map((name) => `sandboxes/${name}`)
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
      if (words.some((word) => word.includes('caisson-agent')) && (await this.#ours(pid))) left.push(`process ${pid}: ${words.join(' ')}`)
    }
    return left
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }

  /** An agent is told apart by the keeper above it, which holds the folder. */
  async #ours(pid: string): Promise<boolean> {
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
    return mounts.includes(this.home)
  }
}
