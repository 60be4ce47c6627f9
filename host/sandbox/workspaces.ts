import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault, strongerWall, WALLS, type WallName } from '@caisson/wire'
import { z } from 'zod'
import { placeOf } from '../walls/disk-images.ts'
import { lock } from './lock.ts'
import type { Kept } from './plan.ts'

const MIB = 1024 * 1024
const OPERATOR = 'operator'
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/
const BLOCK_BYTES = 512
const IMAGE = '.img'
const MARK = '.json'

/** Lies beside the image for the whole life of a workspace, also while a sandbox has the image. */
const Mark = z.strictObject({ wall: z.enum(WALLS) })

export interface WorkspaceWish {
  readonly name: string
  readonly wall: WallName
  /** As requested; undefined: no size was. */
  readonly diskMiB: number | undefined
}

/** Exclusive hold on a workspace until it is disposed; by then a sandbox has taken its disk, or nobody has. */
export interface Claimed extends AsyncDisposable {
  readonly kept: Kept
  /** Size of the existing disk; undefined: there is none yet. */
  readonly diskMiB: number | undefined
  /** Marks the workspace as belonging to the wall before `launch`. If that fails, nothing was written, and the earlier mark is restored. */
  behind<T>(launch: () => Promise<T>): Promise<T>
}

export interface WorkspaceInfo {
  readonly name: string
  /** Space on the host's disk; null: a sandbox has it. */
  readonly usedBytes: number | null
  /** The sandbox that has its disk; null: none. */
  readonly sandbox: string | null
  /** Null: the mark is missing, so no sandbox gets it. */
  readonly wall: WallName | null
  readonly changedMs: number
}

/** Disks that outlive their sandboxes, by owner and name. A disk belongs to one sandbox at a time: the sandbox takes the image, and its end moves it back. */
export class Workspaces {
  readonly #folder: string
  readonly #sandboxes: string

  /** `home` is the state folder. */
  constructor(home: string) {
    this.#folder = join(home, 'workspaces')
    this.#sandboxes = join(home, 'sandboxes')
  }

  /** The disk for a plan. */
  kept(name: string, owner = OPERATOR): Kept {
    return { image: join(this.#of(owner), `${name}${IMAGE}`), take: true, returns: true }
  }

  /**
   * Rejects with CONFLICT while a sandbox has it, BAD_REQUEST where another size is asked for, and WALL_TOO_WEAK: a disk that was written behind a wall is
   * never shown to a kernel that the wall protects from such data.
   */
  async claim({ name, wall, diskMiB }: WorkspaceWish, owner: string | undefined, signal: AbortSignal): Promise<Claimed> {
    const kept = this.kept(name, owner)
    const { image } = kept
    await mkdir(this.#of(owner), { recursive: true, mode: 0o700 })
    const held = await lock(this.#beside(image, '.lock'), signal)
    try {
      const mark = await this.#mark(image)
      if (mark !== undefined && strongerWall(wall, mark.wall) !== wall) {
        throw new Fault('WALL_TOO_WEAK', `workspace ${name} was written behind wall ${mark.wall}, and ${wall} is weaker`, {
          hint: `Choose the wall ${mark.wall}, or another workspace.`,
        })
      }
      const found = await stat(image).catch(absent)
      if (found !== undefined && mark === undefined) throw lost(this.#beside(image, MARK))
      if (found === undefined && mark !== undefined) throw await this.#taken(name, image)
      const there = found === undefined ? undefined : found.size / MIB
      if (there !== undefined && diskMiB !== undefined && diskMiB !== there) {
        throw new Fault('BAD_REQUEST', `diskMiB: workspace ${name} has a disk of ${there} MiB`, { hint: 'Leave the size out (`--disk`).' })
      }
      return {
        kept,
        diskMiB: there,
        behind: async (launch) => {
          await this.#write(image, wall)
          try {
            return await launch()
          } catch (failure) {
            // A disk without data may go behind any wall.
            await this.#write(image, mark?.wall ?? WALLS[0])
            throw failure
          }
        },
        [Symbol.asyncDispose]: () => held[Symbol.asyncDispose](),
      }
    } catch (failure) {
      await held[Symbol.asyncDispose]()
      throw failure
    }
  }

  /** Sizes in MiB, by name, of workspaces that no sandbox has. */
  async resting(owner: string): Promise<ReadonlyMap<string, number>> {
    const folder = this.#of(owner)
    const images = (await readdir(folder).catch(() => [])).filter((file) => file.endsWith(IMAGE))
    const found = await Promise.all(
      images.map(async (file) => [file.slice(0, -IMAGE.length), await stat(join(folder, file)).catch(absent)] as const),
    )
    return new Map(found.flatMap(([name, image]) => (image === undefined ? [] : [[name, image.size / MIB]])))
  }

  async list(owner = OPERATOR): Promise<WorkspaceInfo[]> {
    const files = await readdir(this.#of(owner)).catch(() => [])
    const names = files.flatMap((file) => [MARK, IMAGE].flatMap((ending) => (file.endsWith(ending) ? file.slice(0, -ending.length) : [])))
    return await Promise.all([...new Set(names)].sort().map((name) => this.#info(name, owner)))
  }

  /** Deletes a workspace with its files. Rejects with NOT_FOUND, or CONFLICT while a sandbox has it. */
  async remove(name: string, signal: AbortSignal): Promise<void> {
    const found = (await this.list()).find((one) => one.name === name)
    if (found === undefined) throw new Fault('NOT_FOUND', `no workspace ${JSON.stringify(name.slice(0, 64))}`)
    const { image } = this.kept(name)
    // The lock file stays: waiting processes have it open.
    await using _held = await lock(this.#beside(image, '.lock'), signal)
    if (!existsSync(image) && (await this.#holder(image)) !== undefined) throw await this.#taken(name, image)
    await rm(image, { force: true })
    await rm(this.#beside(image, MARK), { force: true })
  }

  async #info(name: string, owner: string): Promise<WorkspaceInfo> {
    const { image } = this.kept(name, owner)
    const [mark, found, marked] = [
      await this.#mark(image),
      await stat(image).catch(absent),
      await stat(this.#beside(image, MARK)).catch(absent),
    ]
    return {
      name,
      usedBytes: found === undefined ? null : found.blocks * BLOCK_BYTES,
      sandbox: found === undefined ? ((await this.#holder(image)) ?? null) : null,
      wall: mark?.wall ?? null,
      changedMs: (found ?? marked)?.mtimeMs ?? 0,
    }
  }

  #write(image: string, wall: WallName): Promise<void> {
    return writeFile(this.#beside(image, MARK), JSON.stringify({ wall }), { mode: 0o600 })
  }

  async #mark(image: string): Promise<z.infer<typeof Mark> | undefined> {
    const path = this.#beside(image, MARK)
    const text = await readFile(path, 'utf8').catch(absent)
    if (text === undefined) return undefined
    try {
      return Mark.parse(JSON.parse(text))
    } catch (cause) {
      throw lost(path, cause)
    }
  }

  async #taken(name: string, image: string): Promise<Fault> {
    const holder = await this.#holder(image)
    if (holder !== undefined)
      return new Fault('CONFLICT', `sandbox ${holder} has workspace ${name}`, { hint: 'End it first, or name another workspace.' })
    return new Fault('CONFLICT', `workspace ${name} has lost its disk: ${image} is not there, and no sandbox has it`, {
      hint: `Put it back, or begin anew: \`caisson workspace remove ${name}\`.`,
    })
  }

  /** The sandbox that took the image (walls/disk-images.ts). */
  async #holder(image: string): Promise<string | undefined> {
    for (const id of await readdir(this.#sandboxes)) {
      if ((await placeOf(join(this.#sandboxes, id))) === image) return id
    }
    return undefined
  }

  #of(owner = OPERATOR): string {
    if (!NAME.test(owner)) throw new Fault('BAD_REQUEST', `workspace: ${JSON.stringify(owner)} is not a name of an owner`)
    return join(this.#folder, owner)
  }

  #beside(image: string, ending: string): string {
    return `${image.slice(0, -IMAGE.length)}${ending}`
  }
}

/** It may have been written behind any wall, so the operator must say which. */
function lost(path: string, cause?: unknown): Fault {
  return new Fault('HOME_UNUSABLE', `${path} does not say which wall the workspace was written behind`, {
    hint: `If it is your own: put {"wall":"${WALLS.at(-1)}"} there, or the weaker one that you know it was.`,
    cause,
  })
}

/** Only ENOENT means absent; any other failure is thrown. */
function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
