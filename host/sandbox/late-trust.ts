import { readFile } from 'node:fs/promises'
import { Fault, type Files } from '@caisson/wire'
import type { Trust } from '../airlock/exits.ts'
import { JAVA_STORES, SYSTEM_STORES, variablesFor } from './trust.ts'

/** Where `update-ca-certificates` looks for added certificates. */
const AUTHORITY = '/usr/local/share/ca-certificates/caisson.crt'
const BUNDLE = '/usr/local/share/caisson/trust.pem'
/** A larger file is not a certificate store. */
const MAX_STORE_BYTES = 8 * 1024 * 1024
const ROOT = { user: 'root' } as const

/** As `trustVariables`, for a sandbox that got the authority after its start. */
export const LATE_VARIABLES: Readonly<Record<string, string>> = variablesFor({ bundle: BUNDLE, authority: AUTHORITY })

/** Adds our certificate authority to a running sandbox with a writable root: new files, and one more certificate in the system's store. */
export async function bringTrust(
  files: Pick<Files, 'read' | 'stat' | 'write'>,
  { certPath, bundlePath, javaPath }: Trust,
  signal: AbortSignal,
): Promise<void> {
  const [authority, bundle] = await Promise.all([readFile(certPath), readFile(bundlePath)])
  await files.write(AUTHORITY, authority, ROOT, signal)
  await files.write(BUNDLE, bundle, ROOT, signal)
  for (const store of JAVA_STORES) {
    // Java's store cannot be extended without Java, so it is replaced by our copy of this machine's store.
    if ((await contentOf(files, store, signal)) !== null) await files.write(store, await readFile(javaPath), ROOT, signal)
  }
  for (const store of SYSTEM_STORES) {
    const said = await contentOf(files, store, signal)
    if (said === null || said.includes(authority)) continue
    await files.write(store, Buffer.concat([said, Buffer.from('\n'), authority]), ROOT, signal)
  }
}

/** Null: there is no store that can be extended. */
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
