import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const repository = resolve(import.meta.dirname, '../..')
/** What every Linux machine has. Everything else, `node` and `npm` and `cargo` too, is what a spec puts there. */
const PLAIN = [
  'awk',
  'bash',
  'cat',
  'chmod',
  'env',
  'find',
  'flock',
  'head',
  'mkdir',
  'mktemp',
  'mv',
  'readlink',
  'rm',
  'sed',
  'sleep',
  'sort',
  'tail',
  'touch',
  'tr',
]

/** Each does what `caisson` expects of it, in no time: what is tested is the order, the stamps, the ends and the words. */
const STAND_INS: Readonly<Record<string, string>> = {
  node: `case "$1 $2" in
  --version*) echo v20.18.0 ;;
  'build.mjs native') echo native >>"$STEPS"; mkdir -p native/bin; [[ -d native/target ]] || { sleep 0.02; mkdir native/target; } ;;
  'build.mjs ts') echo bundles >>"$STEPS"; echo >dist/caisson.cjs; echo >dist/setup.mjs ;;
  dist/setup.mjs*) echo templates >>"$STEPS"; for name in "\${@:3}"; do mkdir -p "$2/$name"; echo '{}' >"$2/$name/template.json"; done
    ln -sfn /usr/bin/python3 "$2/code-interpreter/interpreter" 2>/dev/null || true ;;
  *) echo "ran \${*:2}" ;;
esac`,
  npm: `echo packages >>"$STEPS"; mkdir -p node_modules; echo >node_modules/.package-lock.json`,
  cargo: 'echo "cargo 1.91.0"',
  cc: '',
  'mkfs.ext4': '',
  ln: 'exec /bin/ln "$@"',
}

export interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

/** A clone with stand-ins for all programs, and a state folder of its own. */
export class Clone implements AsyncDisposable {
  readonly folder: string
  readonly #scratch: string

  private constructor(scratch: string) {
    this.#scratch = scratch
    this.folder = join(scratch, 'clone')
  }

  static async make(): Promise<Clone> {
    const clone = new Clone(await mkdtemp(join(tmpdir(), 'caisson-setup-')))
    for (const folder of ['wire', 'client', 'host', 'native', 'bench', 'templates/base', 'templates/code-interpreter']) {
      await mkdir(join(clone.folder, folder), { recursive: true })
    }
    for (const file of [
      'package-lock.json',
      'build.mjs',
      'wire/agent.proto',
      'wire/a.ts',
      'bench/a.ts',
      'native/a.rs',
      'templates/code-interpreter/requirements.txt',
    ]) {
      await writeFile(join(clone.folder, file), '')
    }
    await copyFile(join(repository, 'caisson'), join(clone.folder, 'caisson'))
    await mkdir(join(clone.#scratch, 'bin'))
    for (const name of PLAIN) await symlink(`/usr/bin/${name}`, join(clone.#scratch, 'bin', name))
    for (const [name, body] of Object.entries(STAND_INS)) await clone.program(name, body)
    return clone
  }

  /** Puts a program in place of another; null takes it away. */
  async program(name: string, body: string | null): Promise<void> {
    const path = join(this.#scratch, 'bin', name)
    await rm(path, { force: true })
    if (body === null) return
    await writeFile(path, `#!/bin/bash\n${body}\n`)
    await chmod(path, 0o755)
  }

  at(path: string): string {
    return join(this.folder, path)
  }

  get state(): string {
    return join(this.#scratch, 'state')
  }

  get steps(): string {
    return join(this.#scratch, 'steps')
  }

  start(args: readonly string[], env: Record<string, string> = {}, script = this.at('caisson')): ChildProcess {
    return spawn('/bin/bash', [script, ...args], {
      cwd: this.#scratch,
      env: { PATH: join(this.#scratch, 'bin'), CAISSON_HOME: this.state, STEPS: this.steps, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
  }

  async run(args: readonly string[], env: Record<string, string> = {}, script = this.at('caisson')): Promise<Ended> {
    return await ended(this.start(args, env, script))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#scratch, { recursive: true, force: true })
  }
}

export function ended(child: ChildProcess): Promise<Ended> {
  const said = { stdout: '', stderr: '' }
  child.stdout?.on('data', (bytes: Buffer) => {
    said.stdout += bytes.toString()
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    said.stderr += bytes.toString()
  })
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (status) => done({ status, ...said }))
  })
}
