import { randomBytes } from 'node:crypto'

const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567'
const LENGTH = 20

/** An unguessable id that is valid in host names, file names and cgroups: 95 random bits after a letter for the kind of thing. */
export function newId(kind: 'i' | 'e' | 'z' | 'w' | 'c' | 's'): string {
  let id: string = kind
  for (const byte of randomBytes(LENGTH - 1)) id += LETTERS[byte % LETTERS.length]
  return id
}

/** machine-id(5). */
export function newMachineId(): string {
  return randomBytes(16).toString('hex')
}

/** Access token of one sandbox, safe in a header. */
export function newToken(): string {
  return randomBytes(24).toString('base64url')
}
