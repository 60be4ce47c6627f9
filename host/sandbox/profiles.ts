import { type ProfileFolders, profilePaths, readProfile, traceProfile } from './profile.ts'

/** One setting of a profile, and the file that it comes from. Values are as in the file. */
export interface Saying {
  /** `limits.pids` */
  field: string
  value: unknown
  /** Name of the profile that sets it. */
  by: string
}

/** Profiles as files, for people who read and write them. Every method rejects with PROFILE_UNKNOWN or PROFILE_INVALID. */
export class Profiles {
  readonly #folders: ProfileFolders

  constructor(folders: ProfileFolders) {
    this.#folders = folders
  }

  async list(signal: AbortSignal): Promise<{ name: string; description: string; path: string }[]> {
    const found = [...(await profilePaths(this.#folders))].sort()
    return await Promise.all(
      found.map(async ([name, path]) => ({ name, path, description: (await readProfile(this.#folders, name, signal)).description })),
    )
  }

  /** Checks a profile by name, or by the path of a file as if it lay in the folders. Resolves to its chain of `extends`, itself first. */
  async check(nameOrPath: string, signal: AbortSignal): Promise<string[]> {
    const { files } = await this.#trace(nameOrPath, signal)
    return files.map(({ name }) => name)
  }

  /** All effective settings, in the order of the schema. */
  async show(nameOrPath: string, signal: AbortSignal): Promise<Saying[]> {
    const { profile, files } = await this.#trace(nameOrPath, signal)
    const { name: _, ...whole } = profile
    return flat(whole).map(({ field, value }) => ({
      field,
      value,
      by: files.find(({ says }) => flat(says).some((said) => said.field === field))?.name ?? '-',
    }))
  }

  async #trace(nameOrPath: string, signal: AbortSignal): ReturnType<typeof traceProfile> {
    return await traceProfile(this.#folders, nameOrPath, signal)
  }
}

/** Groups are listed member by member; lists and network policies are single values. */
function flat(says: object): { field: string; value: unknown }[] {
  return Object.entries(says).flatMap(([name, value]) => {
    const isGroup = typeof value === 'object' && value !== null && !Array.isArray(value) && name !== 'network'
    return isGroup
      ? Object.entries(value as object).map(([member, one]) => ({ field: `${name}.${member}`, value: one as unknown }))
      : [{ field: name, value: value as unknown }]
  })
}
