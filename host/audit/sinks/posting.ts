import { z } from 'zod'
import { touch } from './touching.ts'

const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

/** A URL to post to, and only there. It must not contain a password, since every status would show it. */
export const Url = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && Object.hasOwn(PORTS, url.protocol) && url.username === '' && url.password === '' && url.hash === ''
}, 'is to be a URL of http or https, without a name and a password in it')

/** The part of a URL that is shown and recorded: with many receivers the path or query is as secret as a password. */
export function originOf(url: string): string {
  return new URL(url).origin
}

/** Whether something listens there. */
export async function reachUrl(text: string, signal: AbortSignal): Promise<void> {
  const { hostname, port, protocol } = new URL(text)
  await touch({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (PORTS[protocol] ?? 0) }, signal)
}

/** Rejects unless the answer is 2xx; redirects are not followed. */
export async function post(url: string, headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<void> {
  let answer: Response
  try {
    answer = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
  } catch (failure) {
    // Node's message is only "fetch failed"; the reason is in the cause.
    const cause = failure instanceof Error && failure.cause instanceof Error ? failure.cause : failure
    throw new Error(cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause), {
      cause: failure,
    })
  }
  await answer.body?.cancel()
  if (!answer.ok) throw new Error(`it was answered with ${answer.status}`)
}
