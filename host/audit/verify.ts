import { type FileHandle, open } from 'node:fs/promises'
import { refuseAborted } from '../lifetimes.ts'
import { HEAD_FILE, type Head, readHead } from './head.ts'
import { type Segment, segments } from './segments.ts'
import type { PublicKey } from './signing-key.ts'
import { flawedTerminal } from './terminals/checking.ts'
import { type Told, type Verified, Walk } from './walk.ts'

const CHUNK_BYTES = 1 << 20
const NEWLINE = 0x0a

/** Verifies the log: each record against its predecessor, checkpoints against the key, the end against the head, recordings against their hashes. */
export async function verifyLog(folder: string, key: PublicKey, signal: AbortSignal): Promise<Verified> {
  // Read first: records appended meanwhile come after it, and are checked only against the chain.
  const head = headOf(folder)
  const walk = new Walk(key, head)
  const walked = new Set<number>()
  while (walk.bad === null) {
    const next = segments(folder).find(({ inode }) => !walked.has(inode))
    if (next === undefined) break
    const file = await open(next.path)
    try {
      // Rotated since it was listed; the file that now has its name comes later.
      if ((await file.stat()).ino !== next.inode) continue
      walked.add(next.inode)
      await through(file, next, walk, signal)
    } finally {
      await file.close()
    }
  }
  const result = walk.result(walked.size)
  if (result.bad !== null) return result
  const flawed = await flawedTerminal(folder, walk.terminals, signal)
  return flawed === undefined ? result : { ...result, bad: { ...flawed, line: 0 } }
}

async function through(file: FileHandle, { name }: Segment, walk: Walk, signal: AbortSignal): Promise<void> {
  let line = 0
  let begun = Buffer.alloc(0)
  for (let from = 0; walk.bad === null; ) {
    refuseAborted(signal)
    const chunk = Buffer.alloc(CHUNK_BYTES)
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, from)
    if (bytesRead === 0) break
    from += bytesRead
    const bytes = Buffer.concat([begun, chunk.subarray(0, bytesRead)])
    let start = 0
    for (let end = bytes.indexOf(NEWLINE); end >= 0 && walk.bad === null; end = bytes.indexOf(NEWLINE, start)) {
      line += 1
      walk.take(bytes.subarray(start, end), { file: name, line })
      start = end + 1
    }
    begun = bytes.subarray(start)
  }
  if (begun.length > 0 && walk.bad === null) walk.endsWith(begun, { file: name, line: line + 1 })
}

/** A damaged head is a finding, not an error. */
function headOf(folder: string): Head | Told {
  const file = HEAD_FILE
  try {
    return readHead(folder) ?? { file, line: 1, what: 'it is damaged, so that nobody knows whether the end was cut' }
  } catch (failure) {
    return { file, line: 0, what: `it cannot be read, so that nobody knows whether the end was cut: ${String((failure as Error).message)}` }
  }
}
