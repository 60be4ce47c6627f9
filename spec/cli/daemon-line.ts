import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import { RemoteDoor, Sandbox, type SandboxOptions } from '../../client/index.ts'
import { CommandLine, type Invoked } from './invoke.ts'

/** A command line whose state folder has a daemon: `caisson up --detach`. */
export class DaemonLine implements AsyncDisposable {
  readonly line: CommandLine
  /** As they were printed. */
  readonly variables: Readonly<Record<string, string>>
  readonly up: Invoked

  private constructor(line: CommandLine, up: Invoked) {
    this.line = line
    this.up = up
    this.variables = exported(up.stdout)
  }

  /** `words` are further options of `up`. Few wait in its pool, for the sake of what runs beside it. */
  static async open(words: readonly string[] = []): Promise<DaemonLine> {
    const line = await CommandLine.open()
    return new DaemonLine(line, await line.caisson(['up', '--port', '0', '--detach', ...words], { env: { CAISSON_POOL: '2' } }))
  }

  get url(): string {
    return this.variables['E2B_API_URL'] ?? ''
  }

  get door(): RemoteDoor {
    return new RemoteDoor({ url: this.url, key: this.variables['E2B_API_KEY'] ?? '' })
  }

  async pid(): Promise<number> {
    return (JSON.parse(await readFile(join(this.line.home, 'daemon.json'), 'utf8')) as { pid: number }).pid
  }

  /** Another one on the same state folder and port. */
  async again(): Promise<Invoked> {
    return await this.line.caisson(['up', '--port', new URL(this.url).port, '--detach'])
  }

  async sandbox(options: SandboxOptions = {}): Promise<Sandbox> {
    return await Sandbox.create({ door: this.door, timeoutMs: 600_000, template: 'base', ...options })
  }

  /** Whether it is running or paused. */
  async has(id: string): Promise<boolean> {
    return (await this.line.caisson(['ps', '--all', '--json'])).stdout.includes(id)
  }

  /** Ends the sandboxes and the daemon. Resolves to what they have left. */
  async end(): Promise<string[]> {
    const { stdout } = await this.line.caisson(['ps', '--all', '--json'])
    const ids = (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id)
    if (ids.length > 0) await this.line.caisson(['kill', ...ids])
    await this.line.caisson(['down'])
    return await this.line.leftovers()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.line[Symbol.asyncDispose]()
  }
}

/** One for all tests of a file, which must leave nothing behind. */
export function sharedDaemonLine(words: readonly string[] = []): () => DaemonLine {
  let daemon: DaemonLine | undefined
  beforeAll(async () => {
    daemon = await DaemonLine.open(words)
  })
  afterAll(async () => {
    await using ending = daemon
    expect(await ending?.end()).toEqual([])
  })
  return () => {
    if (daemon === undefined) throw new Error('not open yet')
    return daemon
  }
}

export function exported(text: string): Record<string, string> {
  const lines = text.split('\n').filter((one) => one !== '')
  return Object.fromEntries(lines.map((one) => /^export (\w+)=(.*)$/.exec(one)?.slice(1) as [string, string]))
}

/** The lines that are Caisson's own. */
export function ours({ stderr }: Invoked): string[] {
  return stderr.split('\n').filter((text) => text.startsWith('caisson: '))
}
