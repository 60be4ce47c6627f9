import { Fault } from '@caisson/wire'
import type { OwnedCall } from '../call.ts'

const SECOND_MS = 1000
const HOUR_MS = 3_600_000

/** The default timeout; it differs between API generations. */
export const DEFAULT_TIMEOUT_S = { v1: 15, v2: 300 } as const

/** In milliseconds. Throws BAD_REQUEST for a timeout of zero or less, or one above the maximum. */
export function lifeMs(seconds: number, field: string, { rooms }: Pick<OwnedCall, 'rooms'>): number {
  if (seconds <= 0) throw new Fault('BAD_REQUEST', `${field}: must be greater than 0 seconds, not ${seconds}`)
  return atMostMs(seconds * SECOND_MS, rooms.control.maxTimeoutMs, field)
}

/** Like `lifeMs`, but zero is allowed: it ends the sandbox now. */
export function lifeLeftMs(seconds: number, field: string, { rooms }: Pick<OwnedCall, 'rooms'>): number {
  return atMostMs(Math.max(0, seconds) * SECOND_MS, rooms.control.maxTimeoutMs, field)
}

export function atMostMs(milliseconds: number, maxMs: number, field: string): number {
  if (milliseconds <= maxMs) return milliseconds
  const most = maxMs % HOUR_MS === 0 ? `${maxMs / HOUR_MS} hours` : `${maxMs / SECOND_MS} seconds`
  throw new Fault('BAD_REQUEST', `${field}: Timeout cannot be greater than ${most}`)
}
