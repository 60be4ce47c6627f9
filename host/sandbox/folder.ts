import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { resolve } from 'node:path'
import { Fault } from '@caisson/wire'
import { heldLook, seen } from './mounts.ts'
import { Placeholders } from './placeholders.ts'
import type { Profile } from './profile.ts'
import type { StrictCreateRequest } from './request.ts'
import { type Look, lookThrough } from './shields.ts'

/** What a sandbox sees of its caller's working folder and of every other mounted folder. */
export interface ShownFolder extends AsyncDisposable {
  /** The request, with the folder added to its mounts. */
  readonly request: StrictCreateRequest
  /** Working directory of commands; null: the home folder. */
  readonly cwd: string | null
  /** One per mount. */
  readonly looks: readonly Look[]
}

/** `build` false: only for a plan; nothing is created. Rejects with BAD_REQUEST or MOUNT_UNREADABLE. */
export async function showFolder(
  { folder, ...request }: StrictCreateRequest,
  profile: Profile,
  build: boolean,
  signal: AbortSignal,
): Promise<ShownFolder> {
  const choice = profile.folder
  if (choice === null) {
    const looks = (request.mounts ?? []).map(({ source }) => heldLook(source))
    return { request, cwd: null, looks, [Symbol.asyncDispose]: async () => undefined }
  }
  if (folder === undefined) {
    throw new Fault('BAD_REQUEST', `folder: profile ${profile.name} shows the folder that the caller works in, and none is named`, {
      hint: 'Name it: `folder: process.cwd()`; with a daemon, only an operator may.',
    })
  }
  const own = { source: folder, target: folder, mode: choice.mode }
  const whole = await seen({ ...request, mounts: [own, ...(request.mounts ?? [])] })
  const mounts = whole.mounts ?? []
  const [{ source } = own] = mounts
  // A working directory is never a link. If it is one now, somebody replaced the folder to redirect the mount.
  if (source !== resolve(folder)) {
    throw new Fault('BAD_REQUEST', `folder: ${folder} is reached through a link`, { hint: `Name the folder itself: ${source}.` })
  }
  for (const mount of mounts) await refuseHome(mount.source)
  let made: Placeholders | undefined
  try {
    if (build) made = Placeholders.make(source, choice)
    const looks: Look[] = []
    for (const mount of mounts) looks.push(await lookThrough(mount.source, choice, signal))
    const remove = async () => await made?.[Symbol.asyncDispose]()
    return { request: whole, cwd: source, looks, [Symbol.asyncDispose]: remove }
  } catch (failure) {
    await made?.[Symbol.asyncDispose]()
    if (failure instanceof Fault || !(failure instanceof Error && 'code' in failure)) throw failure
    throw new Fault('MOUNT_UNREADABLE', `folder: ${source}: ${failure.message}`, {
      hint: 'Somebody may have changed it at this moment: try again.',
      cause: failure,
    })
  }
}

/** Refuses a home folder, and any folder that contains one: it would expose keys, histories and other projects. */
async function refuseHome(source: string): Promise<void> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const homes = passwd.split('\n').flatMap((line) => {
    const [, , uid = '', , , home = ''] = line.split(':')
    return home.startsWith('/') && (Number(uid) === 0 || Number(uid) >= 1000) && home !== '/nonexistent' ? [home.replace(/\/+$/, '')] : []
  })
  const home = [...homes, homedir()].find((one) => one !== '' && (source === '/' || one === source || one.startsWith(`${source}/`)))
  if (source !== '/' && home === undefined) return
  throw new Fault('BAD_REQUEST', `folder: ${source} ${source === home ? 'is a home folder' : `holds the home folder ${home ?? '/root'}`}`, {
    hint: 'Work in a folder of the project’s own.',
  })
}
