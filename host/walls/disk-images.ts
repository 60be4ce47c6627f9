import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, readFile, realpath, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Fault, type Plan } from '@caisson/wire'

/** The image of a live sandbox, in its state folder (native/keeper/src/disk.rs). */
const IMAGE = 'disk.img'
/** A file that holds the place where the image belongs, while it is taken for a sandbox that does not run yet, or is about to be kept. */
const TAKEN = 'taken'
const BETWEEN_MS = 5

/** Image of the live sandbox with this folder. */
export function imageIn(dir: string): string {
  return join(dir, IMAGE)
}

/** A keeper that fails moves the image back itself. This marker is for a keeper that is killed before that. */
export function markTaken(plan: Plan): void {
  if (takes(plan)) writeFileSync(join(plan.dir, TAKEN), plan.disk.kind === 'image' ? plan.disk.image : '', { mode: 0o600 })
}

/** The sandbox runs, so the image is its own. If the image returns at the end, the marker stays, whatever happens to the keeper. */
export function stands(plan: Pick<Plan, 'dir' | 'disk'>): void {
  if (takes(plan) && !returns(plan)) rmSync(join(plan.dir, TAKEN), { force: true })
}

/** The keeper is about to keep the image there, and may be killed meanwhile. */
export function markKept(dir: string, place: string): void {
  writeFileSync(join(dir, TAKEN), place, { mode: 0o600 })
}

/** The image was not kept, so it is the sandbox's again, unless it belongs elsewhere. */
export async function unmarkKept(dir: string, place: string): Promise<void> {
  if ((await placeOf(dir)) === place) rmSync(join(dir, TAKEN), { force: true })
}

/** Returns an image to its place if the sandbox that took it did not come up. */
export async function giveBack(dir: string, signal: AbortSignal): Promise<void> {
  const place = await placeOf(dir)
  if (place !== undefined && existsSync(join(dir, IMAGE)) && !existsSync(place)) await moveDisk(dir, place, signal)
}

/** Where the disk of the sandbox with this folder belongs; undefined: only to the sandbox itself. */
export async function placeOf(dir: string): Promise<string | undefined> {
  return (await readFile(join(dir, TAKEN), 'utf8').catch(() => '')) || undefined
}

/** Moves the image out of the folder of a sandbox that has ended. Rejects with NOT_FOUND when there is none. */
export async function moveDisk(dir: string, to: string, signal: AbortSignal): Promise<void> {
  if (!existsSync(join(dir, IMAGE))) throw new Fault('NOT_FOUND', `${dir}: there is no disk to be kept`)
  const image = await realpath(join(dir, IMAGE))
  // The kernel writes the file system back and detaches the device asynchronously, and does not report when it is done.
  while (await isAttached(image)) await pause(BETWEEN_MS, undefined, { signal })
  await rename(image, to)
}

/** Whether it is attached to a loop device. */
async function isAttached(image: string): Promise<boolean> {
  const devices = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'))
  const files = await Promise.all(devices.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')))
  return files.some((file) => file.trimEnd() === image)
}

function takes(plan: Pick<Plan, 'disk'>): boolean {
  return plan.disk.kind === 'image' && plan.disk.take
}

function returns(plan: Pick<Plan, 'disk'>): boolean {
  return plan.disk.kind === 'image' && plan.disk.returns === true
}
