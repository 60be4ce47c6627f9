import { readFile } from 'node:fs/promises'
import { Fault, type Files } from '@caisson/wire'
import type { Trust } from '../airlock/exits.ts'
import { JAVA_STORES, SYSTEM_STORES, variablesFor } from './trust.ts'

/** Where `update-ca-certificates` looks for what somebody added. */
const AUTHORITY = '/usr/local/share/ca-certificates/caisson.crt'
const BUNDLE = '/usr/local/share/caisson/trust.pem'
/** Whoever has a larger store has put something else there. */
const MAX_STORE_BYTES = 8 * 1024 * 1024
const ROOT = { user: 'root' } as const

/** As `trustVariables`, of a sandbox to which it was brought later. */
export const LATE_VARIABLES: Readonly<Record<string, string>> = variablesFor({ bundle: BUNDLE, authority: AUTHORITY })

/** Brings what is to be trusted into a sandbox that stands, whose root is its own: new files, and one more certificate in the system's store. */
export async function bringTrust(
  files: Pick<Files, 'read' | 'stat' | 'write'>,
  { certPath, bundlePath, javaPath }: Trust,
  signal: AbortSignal,
): Promise<void> {
  const [authority, bundle] = await Promise.all([readFile(certPath), readFile(bundlePath)])
  await files.write(AUTHORITY, authority, ROOT, signal)
  await files.write(BUNDLE, bundle, ROOT, signal)
  for (const store of JAVA_STORES) {
    // It cannot be added to without Java; what this machine trusts is what was there.
    if ((await contentOf(files, store, signal)) !== null) await files.write(store, await readFile(javaPath), ROOT, signal)
  }
  for (const store of SYSTEM_STORES) {
    const said = await contentOf(files, store, signal)
    if (said === null || said.includes(authority)) continue
    await files.write(store, Buffer.concat([said, Buffer.from('\n'), authority]), ROOT, signal)
  }
}

/** Null: there is none that could be added to. */
async function contentOf(files: Pick<Files, 'read' | 'stat'>, path: string, signal: AbortSignal): Promise<Buffer | null> {
  try {
    const { kind, size } = await files.stat(path, { ...ROOT, follow: true }, signal)
    if (kind !== 'file' || size > MAX_STORE_BYTES) return null
  } catch (failure) {
    if (failure instanceof Fault && failure.code === 'FILE_MISSING') return null
    throw failure
  }
  const pieces: Uint8Array[] = []
  for await (const piece of files.read(path, { ...ROOT, length: MAX_STORE_BYTES }, signal)) pieces.push(piece)
  return Buffer.concat(pieces)
}
