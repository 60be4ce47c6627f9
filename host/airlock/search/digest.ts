import { createHmac } from 'node:crypto'
import type { Digest } from '@caisson/policy'

/** HMAC-SHA-256: whoever has the policy file learns nothing of a value that could not be guessed. */
export const digest: Digest = (salt, value) => createHmac('sha256', Buffer.from(salt, 'hex')).update(value).digest('hex')
