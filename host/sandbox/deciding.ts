import { type CreateRequest, Fault, type Network, strongerWall, WALLS, type WallName, wallNamed } from '@caisson/wire'
import type { Egress } from '../airlock/egress.ts'
import type { Exits } from '../airlock/exits.ts'
import type { Settings } from '../settings.ts'
import { openTemplate, type Template } from '../templates/template.ts'
import type { Built } from '../walls/wall.ts'
import type { Walls } from '../walls/walls.ts'
import { seen } from './mounts.ts'
import type { MachineFacts } from './plan.ts'
import { type Profile, readProfile } from './profile.ts'
import type { Claim } from './quotas.ts'
import { parseRequest, type StrictCreateRequest } from './request.ts'
import { grantedWall } from './strength.ts'
import { type ShownTrust, shownTrust } from './trust.ts'
import { type Chosen, firstBuilt, strongEnough, wallsOf } from './wall-choice.ts'
import type { WorkspaceWish } from './workspaces.ts'

const DEFAULT_PROFILE = 'default'
const DEFAULT_WORKSPACE = 'default'

/** A request with everything that it names looked up. */
export interface Decided {
  request: StrictCreateRequest
  profile: Profile
  template: Template
  /** What it may reach; null: no network. */
  egress: Egress | null
  wall: MachineFacts['wall']
  trust: ShownTrust | null
}

interface DecidingParts {
  settings: Pick<Settings, 'profiles' | 'templates' | 'programs' | 'zygoteLibrary'>
  walls: Pick<Walls, 'engine' | 'promises'>
  exits: Pick<Exits, 'egress' | 'trust'>
  /** Reports one line to the user who started this host. */
  notice: (line: string) => void
}

/** Looks up everything that a plan is made of. */
export class Deciding {
  readonly #parts: DecidingParts
  /** Read once: profiles and templates do not change during the life of a host. A failed read is retried. */
  readonly #profiles = new Map<string, Profile>()
  readonly #templates = new Map<string, Template>()
  /** Profiles whose preferred wall this machine lacks, and for which that has been reported. */
  readonly #lacking = new Set<string>()

  constructor(parts: DecidingParts) {
    this.#parts = parts
  }

  /** What this sandbox would take of the machine. */
  async claim(request: CreateRequest, signal: AbortSignal): Promise<Claim> {
    const { request: strict, profile } = await this.decide(request, signal)
    const { memoryMiB = profile.limits.memoryMiB, cpus = profile.limits.cpus, diskMiB = profile.limits.diskMiB } = strict
    const all = Number.POSITIVE_INFINITY
    return { memoryMiB: memoryMiB ?? all, cpus: cpus ?? all, diskMiB }
  }

  /** The network of a sandbox with this request: from the request, else from its profile. */
  async network({ network, profile }: Pick<CreateRequest, 'network' | 'profile'>, signal: AbortSignal): Promise<Network> {
    return network ?? (await this.#profile(profile ?? DEFAULT_PROFILE, signal)).network
  }

  /** The wall to ask for, at least as strong as `least`; undefined: the default wall is strong enough. Rejects with WALL_UNKNOWN or WALL_TOO_WEAK. */
  async wallAtLeast({ wall, profile }: Pick<CreateRequest, 'wall' | 'profile'>, least: WallName, signal: AbortSignal) {
    if (wall === undefined && strongerWall(least, WALLS[0]) === WALLS[0]) return undefined
    const usual = await this.#profile(profile ?? DEFAULT_PROFILE, signal)
    if (wall !== undefined) return grantedWall(wallNamed(wall), least, least)
    const strong = strongEnough(usual, least)
    return strong.length === 1 ? strong[0] : (await this.#firstOf(strong, usual.name, signal)).name
  }

  /** The workspace of a sandbox; undefined: none. Rejects with BAD_REQUEST where one is named but the profile keeps no files. */
  async workspace(
    { workspace, profile: asked, wall, diskMiB }: Pick<CreateRequest, 'workspace' | 'profile' | 'wall' | 'diskMiB'>,
    signal: AbortSignal,
  ): Promise<WorkspaceWish | undefined> {
    const profile = await this.#profile(asked ?? DEFAULT_PROFILE, signal)
    if (profile.files === 'kept') {
      const chosen = wall === undefined ? (await this.#firstOf(wallsOf(profile), profile.name, signal)).name : wallNamed(wall)
      return { name: workspace ?? DEFAULT_WORKSPACE, wall: chosen, diskMiB }
    }
    if (workspace === undefined) return undefined
    throw new Fault('BAD_REQUEST', `workspace: profile ${profile.name} keeps no files`, {
      hint: 'Name a profile that does, like `workspace` (`--profile workspace`).',
    })
  }

  async decide(raw: CreateRequest, signal: AbortSignal): Promise<Decided> {
    const request = await seen(parseRequest(raw))
    const profile = await this.#profile(request.profile ?? DEFAULT_PROFILE, signal)
    const template = await this.template(request.template ?? profile.template, signal)
    const wall = await this.#wall(request.wall, profile, signal)
    const egress = await this.#parts.exits.egress(request.network ?? profile.network, signal)
    const trust = await shownTrust(await this.#parts.exits.trust(egress), template)
    return { request, profile, template, wall, egress, trust }
  }

  async #wall(asked: WallName | undefined, profile: Profile, signal: AbortSignal): Promise<MachineFacts['wall']> {
    const { walls } = this.#parts
    const { name, reason, built } =
      asked === undefined
        ? await this.#firstOf(wallsOf(profile), profile.name, signal)
        : {
            name: asked,
            reason: 'asked for, or the least that its key or its snapshot must have',
            built: await walls.engine(asked, signal),
          }
    const { sudo, mounts } = walls.promises(name)
    return { name, reason, ...built, sudo, mounts }
  }

  async #firstOf(choices: readonly WallName[], profile: string, signal: AbortSignal): Promise<Chosen<Built>> {
    const chosen = await firstBuilt(choices, profile, (wall) => this.#parts.walls.engine(wall, signal))
    if (chosen.name !== choices[0] && !this.#lacking.has(profile)) {
      this.#lacking.add(profile)
      this.#parts.notice(`wall ${chosen.name}, ${chosen.reason}`)
    }
    return chosen
  }

  /** The profile of an adopted sandbox, as it is now. */
  profileOf({ profile }: Pick<CreateRequest, 'profile'>, signal: AbortSignal): Promise<Profile> {
    return this.#profile(profile ?? DEFAULT_PROFILE, signal)
  }

  /** For a running sandbox. If its profile is gone or no longer valid, hostile code is still refused. */
  async scan({ profile: name, scan }: Pick<CreateRequest, 'profile' | 'scan'>, signal: AbortSignal): Promise<Profile['scan']> {
    const profile = await this.#profile(name ?? DEFAULT_PROFILE, signal).catch(() => ({ scan: { mode: 'block' as const, banned: false } }))
    return scanOf({ profile, request: { scan } })
  }

  /** Whether this wall forks interpreters from a zygote on the host. */
  forks(wall: WallName): boolean {
    return this.#parts.walls.promises(wall).forks
  }

  async #profile(name: string, signal: AbortSignal): Promise<Profile> {
    const known = this.#profiles.get(name)
    if (known !== undefined) return known
    const profile = await readProfile(this.#parts.settings.profiles, name, signal)
    this.#profiles.set(name, profile)
    return profile
  }

  async template(name: string, signal: AbortSignal): Promise<Template> {
    const known = this.#templates.get(name)
    if (known !== undefined) return known
    const template = await openTemplate(name, this.#parts.settings, signal)
    this.#templates.set(name, template)
    return template
  }
}

export function scanOf({
  profile,
  request,
}: {
  profile: Pick<Profile, 'scan'>
  request: { scan?: CreateRequest['scan'] | undefined }
}): Profile['scan'] {
  return { ...profile.scan, mode: request.scan ?? profile.scan.mode }
}
