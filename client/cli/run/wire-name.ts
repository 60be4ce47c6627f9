import { isUtf8 } from 'node:buffer'
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Fault } from '@caisson/wire'

/** The replacement character for bytes that are not text. */
const REPLACED = '\uFFFD'

/** Names travel to a sandbox as text (wire/agent.proto). Throws FILE_DENIED for a name that is not valid text, with a message that identifies it. */
export function wireName(name: Buffer, folder: string): string {
  if (isUtf8(name)) return name.toString('utf8')
  const escaped = name.toString('latin1').replace(/[^ -~]|\\/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
  throw new Fault('FILE_DENIED', `${join(folder, escaped)}: its name is not UTF-8, and cannot be carried`, {
    hint: 'Rename it, or pack it: tar.',
  })
}

/** Checks a path that was not found. Node decodes arguments as text, so the file meant may have a name that is not. Rejects with FILE_DENIED then. */
export async function refuseUnspeakable(path: string): Promise<void> {
  const whole = resolve(path)
  if (!whole.includes(REPLACED)) return
  const names = await readdir(dirname(whole), { encoding: 'buffer' }).catch(() => [])
  const meant = names.find((name) => !isUtf8(name) && join(dirname(whole), name.toString('utf8')) === whole)
  if (meant !== undefined) wireName(meant, dirname(path))
}
