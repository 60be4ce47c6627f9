import { posix } from 'node:path'
import { type Bind, Fault } from '@caisson/wire'
import type { MachineFacts } from './plan.ts'
import type { StrictCreateRequest } from './request.ts'

/** Places that are the wall's own: a mount there would hide or replace a part of it. */
const RESERVED = ['/caisson', '/dev', '/etc', '/proc', '/sys']
/** Places that hold what runs; a mount may be below them, not in their stead. */
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

/** Pure: what of the host the request wants shown. Throws BAD_REQUEST. */
export function mounts(request: StrictCreateRequest, facts: Pick<MachineFacts, 'home' | 'root' | 'shown'>): Bind[] {
  const binds = (request.mounts ?? []).map(({ source, target, mode }, index): Bind => {
    const field = `mounts.${index}`
    const place = plainTarget(target, `${field}.target`)
    if (within(source, facts.home) || within(facts.home, source)) {
      throw new Fault('BAD_REQUEST', `${field}.source: ${source} would show Caisson's own state (${facts.home}) inside`)
    }
    const look = facts.shown?.looks[index]
    return {
      source,
      target: place,
      mode,
      live: true,
      ...(facts.root ? { ownedBy: 'user' as const } : {}),
      ...(look === undefined ? {} : { inode: look.inode, shields: [...look.shields] }),
    }
  })
  const targets = binds.map((bind) => bind.target)
  const twice = targets.find((target, index) => targets.indexOf(target) !== index)
  if (twice !== undefined) throw new Fault('BAD_REQUEST', `mounts: ${twice} is named twice`)
  return binds
}

function plainTarget(target: string, field: string): string {
  if (target.split('/').includes('..')) throw new Fault('BAD_REQUEST', `${field}: ${target} contains ..`)
  const plain = posix.normalize(target).replace(/(?<=.)\/$/, '')
  const reserved = RESERVED.find((place) => within(plain, place)) ?? KEPT.find((place) => plain === place)
  if (reserved !== undefined)
    throw new Fault('BAD_REQUEST', `${field}: nothing can be mounted at ${plain} (${reserved} is the sandbox's own)`)
  if (within(plain, '/usr')) throw new Fault('BAD_REQUEST', `${field}: nothing can be mounted at ${plain} (/usr is read-only)`)
  return plain
}

function within(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}
