import { Agent } from 'node:http'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Inside, to } from './inside.ts'

// A server inside is the enemy's: whatever it answers, the caller gets a whole answer or is told that there is none, and nobody else is harmed.

let inside: Inside
beforeAll(async () => {
  inside = await Inside.open()
})
afterAll(() => inside[Symbol.asyncDispose]())

test.each([
  '/garbage',
  '/silence',
  '/half-head',
  '/both-lengths',
  '/two-lengths',
  '/huge-head',
  '/endless-head',
  '/split',
  '/control-letters',
  '/status-0',
  '/status-099',
  '/switch',
])('a server that answers with %s: the caller is told that it did not answer properly', async (path) => {
  const answer = await inside.ask({ path, headers: to(3002) })
  expect([path, answer.statusCode, answer.text]).toEqual([path, 502, expect.stringContaining('did not answer properly')])
  expect(answer.rawHeaders.join()).not.toMatch(/injected/i)
})

test.each(['/half-body', '/half-chunks', '/bad-chunk'])(
  'a server that breaks off (%s): so does the connection to the caller',
  async (path) => {
    await expect(inside.ask({ path, headers: to(3002) })).rejects.toMatchObject({ code: 'ECONNRESET' })
  },
)

test('hints, second answers and odd trailers do nobody harm', async () => {
  expect((await inside.ask({ path: '/early', headers: to(3002) })).text).toBe('ok')
  expect((await inside.ask({ path: '/two-answers', headers: to(3002) })).text).toBe('ok')
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (const path of ['/no-content', '/two-answers', '/switch-bare', '/odd-trailers']) {
    await inside.ask({ path, headers: to(3002), agent }).catch(() => undefined)
    expect(JSON.parse((await inside.ask({ path: '/after', headers: to(3000), agent })).text)).toMatchObject({ path: '/after' })
  }
  agent.destroy()
})
