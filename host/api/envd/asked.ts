import { Fault } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { isCaissonClient } from './failures.ts'

/** The user for whom an RPC is made: the name in the Basic header, without a password. Empty: the ordinary user. */
export function userOf({ request }: Visit): string {
  const { authorization = '' } = request.headers
  const [scheme = '', encoded = ''] = authorization.split(' ')
  // Clients may use the header for something else.
  if (scheme.toLowerCase() !== 'basic') return ''
  const [name = ''] = Buffer.from(encoded, 'base64').toString('utf8').split(':')
  return checkedUser(name)
}

export function checkedUser(name: string): string {
  if (/^[^\s:/\p{Cc}]{0,64}$/u.test(name)) return name
  throw new Fault('USER_UNKNOWN', `invalid username: '${name.slice(0, 64).replace(/\p{Cc}/gu, '\u{fffd}')}'`)
}

/**
 * E2B's envd creates files and folders as root and gives them to the user, so programs expect to write to `/app`. Here the user's own permissions are tried
 * first, and root's only where every user inside may become root. Our own clients get the permission error instead, as they do without a daemon.
 */
export function mayLift(visit: Visit): boolean {
  return !visit.entered.record.plan.noNewPrivileges && !isCaissonClient(visit)
}

/** Rewrites the error for an unknown user; other failures are unchanged. */
export function sayUser(failure: unknown, user: string): unknown {
  const isUser = failure instanceof Fault && failure.code === 'USER_UNKNOWN'
  return isUser ? new Fault('USER_UNKNOWN', `invalid username: '${user}'`, { cause: failure }) : failure
}

/** A path in the agent's form; an empty path is the home. Throws BAD_REQUEST for paths that no file can have. */
export function checkedPath(path: string, field: string): string {
  if (path.includes('\0')) throw new Fault('BAD_REQUEST', `${field}: a path cannot contain NUL`)
  // The decoder has replaced invalid UTF-8, so the name is not the one that was meant.
  if (/[\u{fffd}\p{Surrogate}]/u.test(path)) throw new Fault('BAD_REQUEST', `${field}: not valid UTF-8`)
  return path === '' ? '.' : path
}

/** The path in canonical form as far as can be told without asking the agent: for messages, and to detect duplicates. */
export function wholePath(path: string, user: string, visit: Visit): string {
  const { user: ordinary } = visit.entered.record.plan
  const home = user === '' || user === ordinary.name ? ordinary.home : user === 'root' ? '/root' : undefined
  const rest = /^~(?:\/|$)/.test(path) ? path.slice(2) : path
  const whole = rest.startsWith('/') && rest === path ? path : home === undefined ? rest : `${home}/${rest}`
  const plain = whole.split('/').filter((part) => part !== '' && part !== '.')
  return `${whole.startsWith('/') ? '/' : ''}${plain.join('/')}`
}
