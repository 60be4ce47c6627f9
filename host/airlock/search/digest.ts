import { createHmac } from 'node:crypto'
import type { Digest } from '@caisson/policy'

/** HMAC-SHA-256: a reader of the policy file learns nothing about a value that cannot be guessed. */
export const digest: Digest = (salt, value) => createHmac('sha256', Buffer.from(salt, 'hex')).update(value).digest('hex')
