import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WALLS, type WallName } from '@caisson/wire'
import { openProfiles, openWorkspaces } from '../embedded.ts'
import type { SandboxOptions } from '../sandbox.ts'

const LIFE_MS = 3_600_000

/** How the attacked sandboxes of a profile are created. Where the profile shows a folder or keeps files, the attack's own are used, not the caller's. */
export class Target implements AsyncDisposable {
  /** Root inside may change its whole root file system, which is a layer of the sandbox's own. */
  readonly isOwnRoot: boolean
  readonly #profile: string
  readonly #folder: string | undefined
  /** Prefix of its workspace names: only one sandbox at a time can have a workspace. */
  readonly #workspace: string | undefined

  private constructor(profile: string, has: { isOwnRoot: boolean; folder: string | undefined; workspace: string | undefined }) {
    this.#profile = profile
    this.isOwnRoot = has.isOwnRoot
    this.#folder = has.folder
    this.#workspace = has.workspace
  }

  static async of(profile: string, signal: AbortSignal): Promise<Target> {
    const says = await (await openProfiles('caisson attack')).show(profile, signal)
    const value = (field: string) => says.find((saying) => saying.field === field)?.value
    const showsFolder = says.some(({ field }) => field.startsWith('folder.'))
    return new Target(profile, {
      isOwnRoot: value('root') === 'overlay',
      folder: showsFolder ? await mkdtemp(join(tmpdir(), 'caisson-scratch-')) : undefined,
      workspace: value('files') === 'kept' ? `attack-${randomBytes(6).toString('hex')}` : undefined,
    })
  }

  behind(wall: WallName): SandboxOptions {
    return {
      profile: this.#profile,
      template: 'base',
      wall,
      timeoutMs: LIFE_MS,
      // A scan would refuse the attacks, but it is the wall that is being tested.
      scan: 'off',
      // Without it, a daemon's sandbox would outlive this process if it is killed.
      leash: 'host',
      ...(this.#folder === undefined ? {} : { folder: this.#folder }),
      ...(this.#workspace === undefined ? {} : { workspace: `${this.#workspace}-${wall}` }),
    }
  }

  /** Call it after its sandboxes have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true })
    if (this.#workspace === undefined) return
    const workspaces = await openWorkspaces('caisson attack')
    const own = new Set(WALLS.map((wall) => `${this.#workspace}-${wall}`))
    const { signal } = new AbortController()
    for (const { name } of await workspaces.list()) if (own.has(name)) await workspaces.remove(name, signal)
  }
}
