import { mkdtemp, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Host, openHost } from '../../host/main.ts'

/** A host with a state folder of its own, on the templates that set-up has built; its zygotes end with it. */
export class SpecHost implements AsyncDisposable {
  readonly home: string
  readonly door: Host
  readonly notices: string[]

  private constructor(home: string, door: Host, notices: string[]) {
    this.home = home
    this.door = door
    this.notices = notices
  }

  /** `states`: it saves states of sandboxes, and restores others from them. Elsewhere that would be work for nobody. */
  static async open({ home: existing, states = false }: { home?: string; states?: boolean } = {}): Promise<SpecHost> {
    process.env['CAISSON_TEMPLATES'] ??= join(process.env['CAISSON_HOME'] ?? join(homedir(), '.caisson'), 'templates')
    process.env['CAISSON_ZYGOTE_IDLE_MS'] = '0'
    process.env['CAISSON_SAVED_STATES'] = states ? '1' : '0'
    const home = existing ?? (await mkdtemp(join(tmpdir(), 'cai-')))
    const notices: string[] = []
    const door = await openHost(new AbortController().signal, { home, notice: (line) => notices.push(line) })
    return new SpecHost(home, door, notices)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.door.close()
    await rm(this.home, { recursive: true, force: true })
  }
}
