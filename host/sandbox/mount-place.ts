import { posix } from 'node:path'
import { Fault } from '@caisson/wire'

/** Places that belong to the wall: a mount there would hide or replace part of it. */
const RESERVED = ['/caisson', '/dev', '/etc', '/proc', '/sys']
/** Places that the sandbox itself needs. A mount may lie below them, but not replace them. */
const KEPT = [
  '/',
  '/home',
  '/home/user',
  '/tmp',
  '/var',
  '/var/tmp',
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/root',
]

/** Throws BAD_REQUEST, naming the field. */
export function plainTarget(target: string, field: string): string {
  if (target.split('/').includes('..')) throw new Fault('BAD_REQUEST', `${field}: ${target} contains ..`)
  const plain = posix.normalize(target).replace(/(?<=.)\/$/, '')
  const reserved = RESERVED.find((place) => within(plain, place)) ?? KEPT.find((place) => plain === place)
  if (reserved !== undefined)
    throw new Fault('BAD_REQUEST', `${field}: nothing can be mounted at ${plain} (${reserved} is the sandbox's own)`)
  if (within(plain, '/usr')) throw new Fault('BAD_REQUEST', `${field}: nothing can be mounted at ${plain} (/usr is read-only)`)
  return plain
}

export function within(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}
