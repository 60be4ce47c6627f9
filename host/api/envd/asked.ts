import { Fault } from '@caisson/wire'
import type { Visit } from '../call.ts'
import { isCaissonClient } from './failures.ts'

/** Whom an RPC is done for: the name in the Basic header, without a password. Empty: the ordinary user. */
export function userOf({ request }: Visit): string {
  const { authorization = '' } = request.headers
  const [scheme = '', encoded = ''] = authorization.split(' ')
  // Clients may have another use for the header.
  if (scheme.toLowerCase() !== 'basic') return ''
  const [name = ''] = Buffer.from(encoded, 'base64').toString('utf8').split(':')
  return checkedUser(name)
}

export function checkedUser(name: string): string {
  if (/^[^\s:/\p{Cc}]{0,64}$/u.test(name)) return name
  throw new Fault('USER_UNKNOWN', `invalid username: '${name.slice(0, 64).replace(/\p{Cc}/gu, '\u{fffd}')}'`)
}

/**
 * E2B's envd makes files and folders as root and gives them to the user, so programs write to `/app` without asking. Here the user's own rights come
 * first, and root's only where every user inside may become root. Our own clients hear what a user may not do, as they do without a daemon.
 */
export function mayLift(visit: Visit): boolean {
  return !visit.entered.record.plan.noNewPrivileges && !isCaissonClient(visit)
}

/** What an unknown user is told; what else went wrong stays as it is. */
export function sayUser(failure: unknown, user: string): unknown {
  const isUser = failure instanceof Fault && failure.code === 'USER_UNKNOWN'
  return isUser ? new Fault('USER_UNKNOWN', `invalid username: '${user}'`, { cause: failure }) : failure
}

/** A path as the agent takes it: no path is the home. Throws BAD_REQUEST for what no file can be called. */
export function checkedPath(path: string, field: string): string {
  if (path.includes('\0')) throw new Fault('BAD_REQUEST', `${field}: a path cannot contain NUL`)
  // What was not UTF-8 has been replaced by the decoder; the file that was meant has another name.
  if (/[\u{fffd}\p{Surrogate}]/u.test(path)) throw new Fault('BAD_REQUEST', `${field}: not valid UTF-8`)
  return path === '' ? '.' : path
}

/** The same file under the one name that can be told without asking: for messages, and to see what is named twice. */
export function wholePath(path: string, user: string, visit: Visit): string {
  const { user: ordinary } = visit.entered.record.plan
  const home = user === '' || user === ordinary.name ? ordinary.home : user === 'root' ? '/root' : undefined
  const rest = /^~(?:\/|$)/.test(path) ? path.slice(2) : path
  const whole = rest.startsWith('/') && rest === path ? path : home === undefined ? rest : `${home}/${rest}`
  const plain = whole.split('/').filter((part) => part !== '' && part !== '.')
  return `${whole.startsWith('/') ? '/' : ''}${plain.join('/')}`
}
