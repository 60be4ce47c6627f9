import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decideConnect, decideRequest, type Facts } from './decide.ts'
import { readPolicy } from './network.ts'
import { covers, readGlob, readPath } from './paths.ts'

const policy = (input: object) => readPolicy({ mode: 'allow', ...input }, 'network')
const found: Facts = { resolved: ['1.1.1.1'], operatorAllowed: [], hostAddresses: [] }
const here = { name: 'api.example', address: null, port: 443 }
const ask = (rules: ReturnType<typeof policy>, text: string) => {
  const [method = '', path = ''] = text.split(' ')
  return decideRequest(rules, here, found, { scheme: 'https', methods: [method], path })
}

describe('paths', () => {
  test.each([
    ['/v1/x', '/v1/x', '/v1/x/', '/v1/%78', '/v1/x?q=/other'],
    ['/v1/*', '/v1/x', '/v1/a%20b', '/v1/.hidden'],
    ['/v1/**', '/v1', '/v1/', '/v1/x', '/v1/x/y/z'],
    ['/**/end', '/end', '/a/end', '/a/b/end'],
    ['/a*c/d', '/ac/d', '/abc/d', '/abcbc/d'],
    ['/', '/', '/?x'],
  ])('%s covers', (glob, ...all) => {
    for (const text of all) expect([text, isCovered(glob, text)]).toEqual([text, true])
  })

  test.each([
    ['/v1/x', '/v1', '/v1/y', '/V1/x', '/v1/x/y'],
    ['/v1/*', '/v1', '/v1/x/y', '/v2/x'],
    ['/v1/**', '/v10', '/', '/x/v1'],
    ['/a*c', '/ab', '/cab', '/a/c'],
    ['/', '/x'],
  ])('%s does not cover', (glob, ...all) => {
    for (const text of all) expect([text, isCovered(glob, text)]).toEqual([text, false])
  })

  test.each([
    '/a/../b',
    '/a/%2e%2e/b',
    '/a//b',
    '//a',
    '/a%2fb',
    '/a%5cb',
    '/a\\b',
    '/a;x=1/b',
    '/a%3bx',
    '/a%00',
    '/a%252e',
    '/a%',
    '/a%ff',
    'a',
    '*',
    '/a#b',
    '/a b',
  ])('%s is none', (text) => expect(readPath(text)).toHaveProperty('refused'))

  test('what is read is what a server would look up, decoded once, and no pattern takes long', () => {
    fc.assert(
      fc.property(fc.webPath(), (text) => {
        const read = readPath(text)
        if ('refused' in read) return
        expect(read.segments.every((segment) => segment !== '' && !/[/\\;]|^\.\.?$/.test(segment))).toBe(true)
        expect(
          new URL(`http://x${text}`).pathname
            .split('/')
            .map(decodeURIComponent)
            .filter((part) => part !== ''),
        ).toEqual([...read.segments])
      }),
    )
    const glob = readGlob(`/${'*a'.repeat(100)}`)
    if ('refused' in glob) throw new Error(glob.refused)
    expect(covers(glob, ['a'.repeat(8000).concat('b')], false)).toBe(false)
  })
})

function isCovered(text: string, path: string): boolean {
  const [glob, read] = [readGlob(text), readPath(path)]
  if ('refused' in glob) throw new Error(glob.refused)
  return 'segments' in read && covers(glob, read.segments, false)
}

describe('requests', () => {
  const rules = policy({
    allow: ['GET|HEAD https://api.example/v1/**', { rule: 'api.example:443', methods: ['POST'], paths: ['/v1/chat'] }],
  })

  test('a connection is let through to be looked into, and each request by its method and path', () => {
    expect(decideConnect(rules, here, found)).toMatchObject({ verdict: 'inspect', dial: ['1.1.1.1'] })
    for (const text of ['GET /v1/models', 'HEAD /v1', 'POST /v1/chat?x=1'])
      expect([text, ask(rules, text).verdict]).toEqual([text, 'inspect'])
    for (const text of ['POST /v1/models', 'DELETE /v1/chat', 'GET /v2', 'get /v1', 'GET /v1/../v2', 'OPTIONS *']) {
      expect([text, ask(rules, text)]).toMatchObject([text, { verdict: 'deny', rule: 'mode allow', dial: [] }])
    }
    expect(ask(rules, 'PUT /v1/chat?token=secret').wouldAllow).toBe('PUT https://api.example:443/v1/chat')
    expect(readPolicy({ mode: 'allow', allow: [ask(rules, 'PUT /v1/chat').wouldAllow] }, 'network').allow[0]).toMatchObject({ port: 443 })
  })

  test('a method said in a header counts as well, for yes and for no', () => {
    const said = { scheme: 'https', methods: ['POST', 'DELETE'], path: '/v1/chat' } as const
    expect(decideRequest(rules, here, found, said).verdict).toBe('deny')
    const open = readPolicy({ mode: 'open', deny: [{ rule: 'api.example', methods: ['DELETE'] }] }, 'network')
    expect(decideRequest(open, here, found, said)).toMatchObject({ verdict: 'deny', rule: 'deny DELETE api.example' })
    expect(decideRequest(open, here, found, { ...said, methods: ['POST'] }).verdict).toBe('inspect')
    expect(decideConnect(open, { ...here, name: 'other.example' }, found).verdict).toBe('tunnel')
  })

  test('a denying rule speaks of every spelling, and of what cannot be read', () => {
    const open = readPolicy({ mode: 'open', deny: [{ rule: 'api.example', paths: ['/admin/**'] }] }, 'network')
    for (const path of ['/admin', '/ADMIN/x', '/%61dmin', '/x/../admin', '//admin', '/a%2fb'])
      expect(ask(open, `GET ${path}`).verdict).toBe('deny')
    expect(ask(open, 'GET /public').verdict).toBe('inspect')
  })

  test('what rules say of requests is held to examples, and what is malformed is refused by its place', () => {
    const rule = { rule: 'https://api.example', methods: ['GET'], paths: ['/v1/*'] }
    policy({
      allow: [
        {
          ...rule,
          match: ['GET https://api.example/v1/x', 'api.example:443'],
          not: ['POST https://api.example/v1/x', 'GET http://api.example/v1/x'],
        },
      ],
    })
    for (const [wrong, place] of [
      [{ ...rule, match: ['GET https://api.example/v2'] }, 'network.allow.0.match.0'],
      [{ ...rule, not: ['GET https://api.example/v1/x'] }, 'network.allow.0.not.0'],
      [{ ...rule, methods: ['get'] }, 'network.allow.0.methods.0'],
      [{ ...rule, paths: ['v1'] }, 'network.allow.0.paths.0'],
      [{ ...rule, paths: ['/a/../b'] }, 'network.allow.0.paths.0'],
      [{ ...rule, paths: ['/a**'] }, 'network.allow.0.paths.0'],
      [{ ...rule, scheme: 'http' }, 'network.allow.0.scheme'],
      [{ rule: 'GET https://api.example/v1?x' }, 'network.allow.0'],
    ] as const) {
      expect(() => policy({ allow: [wrong] })).toThrow(
        expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringContaining(place) }),
      )
    }
  })
})

describe('credentials', () => {
  const allow = ['api.example:443']

  test('are for a host and the port of their scheme, and make its connections be looked into', () => {
    const rules = policy({ allow: ['api.example'], credentials: [{ secret: 'KEY', host: 'api.example' }] })
    expect(rules.headers).toMatchObject([{ header: 'authorization', value: 'Bearer {secret}', scheme: 'https', rule: { port: 443 } }])
    expect(decideConnect(rules, here, found).verdict).toBe('inspect')
    expect(decideConnect(rules, { ...here, port: 444 }, found).verdict).toBe('tunnel')
  })

  test.each([
    [{ secret: 'KEY' }, 'credentials.0.host'],
    [{ secret: 'KEY', host: 'other.example' }, 'no rule of network.allow leads to other.example:443'],
    [{ secret: 'KEY', host: 'api.example', value: 'Bearer' }, 'credentials.0.value'],
    [{ secret: 'KEY', host: 'api.example', value: '{secret}{secret}' }, 'credentials.0.value'],
    [{ secret: 'KEY', host: 'api.example', header: 'Host' }, 'credentials.0.header'],
    [{ secret: 'KEY', host: 'api.example', header: 'Content-Length' }, 'credentials.0.header'],
    [{ secret: 'KEY', host: 'api.example', value: '{secret}\r\nX: y' }, 'credentials.0.value'],
    [{ secret: '../KEY', host: 'api.example' }, 'credentials.0.secret'],
    [{ secret: 'KEY', host: 'https://api.example' }, 'credentials.0.host'],
  ])('%j is refused: %s', (credential, said) => {
    expect(() => policy({ allow, credentials: [credential] })).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID', message: expect.stringContaining(said) }),
    )
  })
})
