import { isUtf8 } from 'node:buffer'
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Fault } from '@caisson/wire'

/** What stands in a text for bytes that are none. */
const REPLACED = '\uFFFD'

/** Names are text on their way to a sandbox (wire/agent.proto). Throws FILE_DENIED for one that is not, in words by which it can be found. */
export function wireName(name: Buffer, folder: string): string {
  if (isUtf8(name)) return name.toString('utf8')
  const escaped = name.toString('latin1').replace(/[^ -~]|\\/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
  throw new Fault('FILE_DENIED', `${join(folder, escaped)}: its name is not UTF-8, and cannot be carried`, {
    hint: 'Rename it, or pack it: tar.',
  })
}

/** Of a path that was not found: Node reads arguments as text, and what was meant may be one whose name is none. Rejects with FILE_DENIED then. */
export async function refuseUnspeakable(path: string): Promise<void> {
  const whole = resolve(path)
  if (!whole.includes(REPLACED)) return
  const names = await readdir(dirname(whole), { encoding: 'buffer' }).catch(() => [])
  const meant = names.find((name) => !isUtf8(name) && join(dirname(whole), name.toString('utf8')) === whole)
  if (meant !== undefined) wireName(meant, dirname(path))
}
