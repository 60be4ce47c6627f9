import type { Socket } from 'node:net'
import { freshDeadline, onAbort } from '../lifetimes.ts'

/** {sandbox, connection} as one line. */
const MAX_HEAD_BYTES = 512
const PATIENCE_MS = 5000
const NEWLINE = 0x0a

/** A connection of a sandbox. */
export interface Named {
  readonly sandbox: string
  readonly connection: number
}

/** Reads the line that names the connection a gate brings. `serve` gets the peer paused, with everything after the line in its buffer. */
export function readNamed(peer: Socket, serve: (named: Named) => void): void {
  const stop = onAbort(freshDeadline(PATIENCE_MS), () => peer.destroy())
  peer.on('close', stop)
  let head: Buffer = Buffer.alloc(0)
  const hear = (bytes: Buffer): void => {
    head = head.length === 0 ? bytes : Buffer.concat([head, bytes])
    const end = head.indexOf(NEWLINE)
    if (end > MAX_HEAD_BYTES || (end < 0 && head.length > MAX_HEAD_BYTES)) return void peer.destroy()
    if (end < 0) return
    stop()
    peer.off('data', hear).pause()
    const named = parsed(head.subarray(0, end))
    if (named === undefined) return void peer.destroy()
    const rest = head.subarray(end + 1)
    if (rest.length > 0) peer.unshift(rest)
    serve(named)
  }
  peer.on('data', hear)
}

function parsed(line: Buffer): Named | undefined {
  try {
    const said: unknown = JSON.parse(line.toString())
    if (typeof said !== 'object' || said === null || !('sandbox' in said) || !('connection' in said)) return undefined
    const { sandbox, connection } = said
    return typeof sandbox === 'string' && typeof connection === 'number' ? { sandbox, connection } : undefined
  } catch {
    return undefined
  }
}
