import { afterAll, beforeAll, expect, test } from 'vitest'
import { Fault } from '../../wire/index.ts'
import { Door, KEY, OPERATOR_KEY, recordOf, TRAFFIC_TOKEN } from './door.ts'
import { exchange } from './raw.ts'

// What a request is for is seen in its headers, its host, its path, in this order; who has no key or knocks on nothing is told so in E2B's words.

let door: Door
beforeAll(async () => {
  door = await Door.open(undefined, {}, 'sbx.example.com:8443')
  door.sandboxes.set('i1', {})
  door.sandboxes.set('ibusy', { refusal: new Fault('CONFLICT', 'it is being paused') })
  door.sandboxes.set('ifiles', { refusal: new Fault('ACCESS_DENIED', 'it was stopped') })
  door.sandboxes.set('iclosed', { traffic: { public: false } })
})
afterAll(() => door.close())

const at = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(door.url + path, { method, headers, redirect: 'manual' })
const json = async (path: string, headers: Record<string, string> = {}) => (await at(path, headers)).json()
const to = (id: string, port: number | string) => ({ 'E2b-Sandbox-Id': id, 'e2b-sandbox-PORT': String(port) })
const byHost = (host: string, path = '/x') => exchange(door.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)

test('headers decide first, whatever host and path say', async () => {
  expect(await json('/a//b?c=d', to('i1', 49983))).toMatchObject({ who: 'envd', id: 'i1', port: 49983, url: '/a/b?c=d', query: { c: 'd' } })
  expect(await json('/s/i2/49983/x', to('i1', 49999))).toMatchObject({ who: 'interpreter', url: '/s/i2/49983/x' })
  expect(await json('/sandboxes/x', { ...to('i1', 49983), 'X-API-Key': KEY })).toMatchObject({ who: 'envd' })
})

test('then the host: of the domain, or below localhost', async () => {
  for (const host of ['49983-i1.sbx.example.com:8443', '49983-I1.SBX.example.com', '49983-i1.localhost:1']) {
    expect((await byHost(host)).body).toMatchObject({ who: 'envd', id: 'i1', url: '/x' })
  }
  expect((await byHost('api.sbx.example.com', '/health')).status).toBe(200)
  expect((await byHost('49983-i1.elsewhere.com')).body).toMatchObject({ code: 404 })
  expect(
    (await exchange(door.port, 'GET http://49983-i1.localhost/y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n')).body,
  ).toMatchObject({ url: '/y' })
})

test('then the path', async () => {
  expect(await json('/s/i1/49983/x/y?z=1')).toMatchObject({ who: 'envd', id: 'i1', url: '/x/y?z=1' })
  const bare = await at('/s/i1/3000?a=b')
  expect([bare.status, bare.headers.get('location')]).toEqual([308, '/s/i1/3000/?a=b'])
})

test('a signed link names no sandbox: whose token made it is asked', async () => {
  door.findSigned = (call) => (call.query.get('signature') === 'v1_right' ? recordOf('i1') : undefined)
  expect(await json('//files?path=a&signature=v1_right')).toMatchObject({ who: 'envd', id: 'i1', url: '/files?path=a&signature=v1_right' })
  expect(await json('/files?path=a&signature=v1_wrong')).toEqual({ code: 401, message: 'invalid signature' })
  expect(await json('/files?signature=v1_wrong&signature_expiration=1')).toEqual({ code: 401, message: 'signature is already expired' })
})

test.each([
  ['an id that is none', to('../x', 49983)],
  ['two ids', { ...to('i1', 49983), 'e2b-sandbox-id': 'i1, i1' }],
  ['an empty id', to('', 49983)],
  ['no port', { 'E2b-Sandbox-Id': 'i1' }],
  ['no id', { 'E2b-Sandbox-Port': '80' }],
  ['port 0', to('i1', 0)],
  ['port 65536', to('i1', 65536)],
  ['a port that is no number', to('i1', '8e1')],
])('%s is refused', async (_what, headers) => {
  const reply = await at('/', headers)
  expect(reply.status).toBe(400)
  expect(await reply.json()).toMatchObject({ code: 400, error_code: 'bad_request' })
})

test('a host below the domain that names nothing is refused, and a path as well', async () => {
  for (const host of [
    'x-i1.sbx.example.com',
    '80-.sbx.example.com',
    '99999-i1.sbx.example.com',
    '80-i1.x.sbx.example.com',
    'www.sbx.example.com',
  ]) {
    expect(await byHost(host)).toMatchObject({ status: 400 })
  }
  for (const path of ['/s/', '/s/i1', '/s/i1/x/', '/s/I-1/80/', '/s/i1/0/']) expect((await at(path)).status).toBe(400)
})

test('the control plane wants a key', async () => {
  expect(await json('/sandboxes/i1', { 'X-API-KEY': KEY })).toEqual({ id: 'i1', owner: 'somebody' })
  expect(await json('/sandboxes/i%2F1', { authorization: `Bearer ${KEY}` })).toEqual({ id: 'i/1', owner: 'somebody' })
  for (const headers of [{}, { 'x-api-key': `${KEY}0` }, { authorization: 'Basic eA==' }] as Record<string, string>[]) {
    const reply = await at('/sandboxes/i1', headers)
    expect(reply.status).toBe(401)
    expect(await reply.json()).toMatchObject({ code: 401, message: expect.stringContaining('key'), error_code: 'unauthenticated' })
  }
})

test('what there is no route for is not found; a route that is malformed neither', async () => {
  for (const path of ['/nothing', '/sandboxes/%', '/sandboxes/a/b']) {
    const reply = await at(path, { 'x-api-key': KEY })
    expect([reply.status, ((await reply.json()) as { code: number }).code]).toEqual([404, 404])
  }
})

test('nothing behind a port: E2B says so, as JSON to programs and as a page to people', async () => {
  expect(await json('/health', to('inobody', 49983))).toEqual({ sandboxId: 'inobody', message: 'The sandbox was not found', code: 502 })
  const page = await at('/', { ...to('inobody', 3000), accept: 'text/html,*/*' })
  expect([page.status, page.headers.get('content-type')]).toEqual([502, 'text/html; charset=utf-8'])
  expect(await page.text()).toContain('The sandbox was not found')
  expect(await (await at('/', to('ibusy', 3000))).json()).toMatchObject({ sandboxId: 'ibusy', code: 409 })
  expect(await (await at('/', to('ifiles', 3000))).json()).toMatchObject({ sandboxId: 'ifiles', code: 403, message: 'it was stopped' })
})

test('closed to the public: every port but the agent’s wants the token', async () => {
  expect((await at('/', to('iclosed', 49983))).status).toBe(200)
  for (const token of [undefined, 'wrong', `${TRAFFIC_TOKEN}x`]) {
    const headers = { ...to('iclosed', 49999), ...(token === undefined ? {} : { 'e2b-traffic-access-token': token }) }
    expect(await json('/', headers)).toMatchObject({ sandboxId: 'iclosed', code: 403 })
  }
  expect(await json('/', { ...to('iclosed', 49999), 'E2B-Traffic-Access-Token': TRAFFIC_TOKEN })).toMatchObject({ who: 'interpreter' })
})

test('a page of any origin may ask', async () => {
  const asked = {
    origin: 'http://x.example',
    'access-control-request-method': 'POST',
    'access-control-request-headers': 'x-api-key,authorization',
  }
  for (const path of ['/sandboxes', '/files?signature=x', '/s/i1/49983/files']) {
    const reply = await at(path, asked, 'OPTIONS')
    expect(reply.status).toBe(204)
    expect(reply.headers.get('access-control-allow-origin')).toBe('*')
    expect(reply.headers.get('access-control-allow-headers')).toBe('x-api-key,authorization')
  }
  for (const headers of [{ 'x-api-key': KEY }, to('i1', 49983), to('inobody', 49983), {}] as Record<string, string>[]) {
    expect((await at('/sandboxes/i1', { ...headers, origin: 'http://x.example' })).headers.get('access-control-allow-origin')).toBe('*')
  }
})

test('the numbers are for operators', async () => {
  expect((await at('/metrics')).status).toBe(401)
  expect((await at('/metrics', { 'x-api-key': KEY })).status).toBe(403)
  const page = await (await at('/metrics', { authorization: `Bearer ${OPERATOR_KEY}` })).text()
  expect(page).toMatch(/^caisson_requests_total\{method="GET",route="\/sandboxes\/:id",status="200"\} [1-9]/m)
  expect(page).toMatch(/^caisson_failures_total\{code="UNAUTHENTICATED"\} [1-9]/m)
  expect(page).toMatch(/^caisson_process_resident_memory_bytes \d/m)
})

test('each request leaves a line, with nothing in it that is secret', async () => {
  await json('/sandboxes/secret-path?signature=secret-query', { 'x-api-key': KEY })
  await json('/process.Process/Start?secret=secret-query', { ...to('i1', 49983), 'x-access-token': 'secret-token' })
  expect(door.logged).toContainEqual(
    expect.objectContaining({ message: 'request', method: 'GET', route: '/sandboxes/:id', status: 200, owner: 'somebody' }),
  )
  expect(door.logged).toContainEqual(
    expect.objectContaining({ route: 'envd', sandbox: 'i1', ms: expect.any(Number), request: expect.any(String) }),
  )
  expect(JSON.stringify(door.logged)).not.toMatch(/secret|e2b_|token-of/)
})
