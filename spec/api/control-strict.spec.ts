import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as caisson from '../../host/api/caisson/shelf.ts'
import type { Route } from '../../host/api/call.ts'
import * as control from '../../host/api/control/shelf.ts'
import * as unserved from '../../host/api/control/unserved.ts'
import { ControlClient } from './control-client.ts'
import { ControlServer } from './control-server.ts'

const refused: Route[] = Object.values(unserved)
const all: Route[] = [...Object.values(control), ...Object.values(caisson)]
const served = all.filter((route) => !refused.includes(route)).map(({ method, path }) => [method, path] as const)
const taking = served.filter(([method, path]) => method === 'POST' || method === 'PUT' || path === '/templates/tags')
const telling = served.filter(([method]) => method === 'GET')

/** The least that each takes. */
const BODIES: Record<string, object> = {
  '/sandboxes': { templateID: 'base' },
  '/v2/sandboxes': { templateID: 'base' },
  '/sandboxes/:id/timeout': { timeout: 60 },
  '/sandboxes/:id/connect': { timeout: 60 },
  '/caisson/v1/sandboxes/:id/attributes': { path: '/tmp', attributes: {} },
  '/caisson/v1/keys': { owner: 'carol' },
}
const QUERIES: Record<string, string> = { '/sandboxes/metrics': 'sandbox_ids=x', '/teams/:id/metrics/max': 'metric=concurrent_sandboxes' }
const TAGS = { POST: { target: 'base', tags: ['v1'] }, DELETE: { name: 'base', tags: ['v1'] } }

const server = new ControlServer()
let operator: ControlClient
let id: string
beforeAll(async () => {
  operator = new ControlClient(await server.listen(), server.keys.add('root', true))
  id = (await operator.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 86_400 })).body.sandboxID
})
afterAll(() => server[Symbol.asyncDispose]())

const at = (path: string) => path.replace(':id', path.includes('/sandboxes/') ? id : 'base')
const leastOf = (method: string, path: string) => (path === '/templates/tags' ? TAGS[method as keyof typeof TAGS] : (BODIES[path] ?? {}))

test('every route that takes a body is among those that are tried here', () => {
  expect(taking.length).toBeGreaterThanOrEqual(15)
  expect(Object.keys(BODIES).filter((path) => !taking.some(([, taken]) => taken === path))).toEqual([])
})

describe.each(taking)('%s %s', (method, path) => {
  test('refuses a field that it does not know, by its name', async () => {
    const answer = await operator.ask(method, at(path), { ...leastOf(method, path), unheardOf: 1 })
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 400, error_code: 'bad_request', message: expect.stringContaining('unheardOf: no such field') },
    })
  })

  test('answers whatever it is sent with a refusal or as it should, and never with a fault of its own', async () => {
    const least = leastOf(method, path)
    const some = fc.oneof(
      fc.jsonValue(),
      fc
        .record({ field: fc.constantFrom(...Object.keys(least), 'timeout', 'network', 'metadata', 'name'), value: fc.jsonValue() })
        .map(({ field, value }) => ({
          ...least,
          [field]: value,
        })),
    )
    await fc.assert(
      fc.asyncProperty(some, async (body) => {
        const { status, body: answered } = await operator.ask(method, at(path), JSON.stringify(body))
        expect([200, 201, 204, 400, 403, 404, 409, 410, 501]).toContain(status)
        if (status >= 400) expect(answered).toMatchObject({ code: status, message: expect.any(String) })
      }),
      { numRuns: 25 },
    )
  })

  test.each(['{', '"', '\u0000', '{"a":1}}', 'NaN', `${'['.repeat(20_000)}${']'.repeat(20_000)}`])(
    'refuses what is no JSON object: %.20s',
    async (body) => {
      expect(await operator.ask(method, at(path), body)).toMatchObject({ status: 400, body: { code: 400 } })
    },
  )
})

test.each(telling)('%s %s refuses a parameter that it does not know, by its name', async (method, path) => {
  const asked = at(path).replace('/teams/base', '/teams/root').replace(':alias', 'base')
  const { status, body } = await operator.ask(method, `${asked}?${QUERIES[path] ?? ''}&unheardOf=1`)
  expect({ status, body }).toMatchObject({ status: 400, body: { code: 400, message: expect.stringContaining('unheardOf: no such field') } })
})

test('a body without end is cut off', async () => {
  const huge = JSON.stringify({ templateID: 'base', metadata: { a: 'x'.repeat(2 * 1024 * 1024) } })
  expect(await operator.ask('POST', '/v2/sandboxes', huge)).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining('larger than') },
  })
})

test.each(refused.map(({ method, path }) => [method, path] as const))(
  '%s %s is refused by name, with what serves instead',
  async (method, path) => {
    const asked = path.replaceAll(/:\w+/g, 'x')
    const { status, body, headers } = await operator.ask(method, asked, method === 'GET' ? undefined : { name: 'x' })
    expect(status).toBe(501)
    expect(body).toMatchObject({ code: 501, error_code: 'unsupported', message: expect.stringContaining(`${method} ${path}: `) })
    expect(headers.get('should-retry')).toBe('false')
  },
)

test.each([
  ['GET', 'path'],
  ['PATCH', 'path'],
  ['DELETE', 'path'],
  ['GET', 'dir'],
  ['POST', 'dir'],
  ['GET', 'file'],
  ['PUT', 'file'],
])('%s the %s of a volume: "not found" would be said of a path, and there are no volumes', async (method, of) => {
  expect(await operator.ask(method, `/volumecontent/v/${of}?path=/a`)).toMatchObject({
    status: 501,
    body: { error_code: 'unsupported', message: expect.stringContaining('there are no volumes here') },
  })
})
