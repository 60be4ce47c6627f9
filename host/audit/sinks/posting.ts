import { z } from 'zod'
import { touch } from './touching.ts'

const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

/** Where something may be posted to: what is named and nowhere else. A password in it would be told with every status. */
export const Url = z.string().refine((text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && Object.hasOwn(PORTS, url.protocol) && url.username === '' && url.password === '' && url.hash === ''
}, 'is to be a URL of http or https, without a name and a password in it')

/** What is told of it, and recorded: many a receiver is known by a path or a query that is as good as a password. */
export function originOf(url: string): string {
  return new URL(url).origin
}

/** Whether somebody listens there. */
export async function reachUrl(text: string, signal: AbortSignal): Promise<void> {
  const { hostname, port, protocol } = new URL(text)
  await touch({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (PORTS[protocol] ?? 0) }, signal)
}

/** Rejects where the answer is anything but 2xx: who sends elsewhere is not followed. */
export async function post(url: string, headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<void> {
  let answer: Response
  try {
    answer = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal })
  } catch (failure) {
    // Node says "fetch failed", and keeps why to itself.
    const cause = failure instanceof Error && failure.cause instanceof Error ? failure.cause : failure
    throw new Error(cause instanceof Error ? cause.message || String((cause as NodeJS.ErrnoException).code) : String(cause), {
      cause: failure,
    })
  }
  await answer.body?.cancel()
  if (!answer.ok) throw new Error(`it was answered with ${answer.status}`)
}
