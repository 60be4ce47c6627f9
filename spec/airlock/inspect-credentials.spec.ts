import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecLog } from '../audit/logs.ts'
import { Hosted, inspecting } from './hosted.ts'
import { Authority, Web } from './web.ts'

const TEN = Array.from({ length: 10 }, (_, index) => [`KEY_${index}`, `s3cret-${index}-${'abcdefghij'[index]?.repeat(20)}`] as const)
const value = (index: number) => TEN[index]?.[1] ?? ''

let authority: Authority
let web: Web
let other: Web
let plain: Web
let hosted: Hosted
const audit = new SpecLog()
beforeAll(async () => {
  authority = await Authority.open()
  const identity = await authority.identity(['good.example', 'other.example'])
  web = await Web.open({
    identity,
    serve(request, response, heard) {
      const said = JSON.stringify(heard.headers)
      const url = request.url ?? ''
      if (url === '/away') return void response.writeHead(302, { location: `https://other.example:${other.port}/caught` }).end()
      if (url === '/fields') return void response.writeHead(200, { 'x-key': String(heard.headers['authorization']) }).end()
      if (url === '/early') response.writeEarlyHints({ link: `<${heard.headers['authorization']}>; rel=preload` })
      if (url === '/gzip') return void response.writeHead(200, { 'content-encoding': 'gzip' }).end('x')
      if (url === '/slow') {
        const key = String(heard.headers['authorization'])
        for (const [index, character] of [...key].entries())
          setTimeout(() => (response as NodeJS.WritableStream).write(character), index * 3)
        return void setTimeout(() => response.end('|end'), key.length * 3 + 50)
      }
      response.end(said)
    },
  })
  other = await Web.open({ identity })
  plain = await Web.open()
  const host = `good.example:${web.port}`
  hosted = await Hosted.open(
    inspecting({
      allow: [host, `other.example:${other.port}`, `good.example:${plain.port}`],
      headers: [{ host, headers: { 'X-Plain': 'said at the gate' } }],
      credentials: TEN.map(([secret], index) =>
        index === 0 ? { secret, host } : { secret, host, header: `x-key-${index}`, value: `key {secret};v=${index}` },
      ),
    }),
    authority.path,
  )
  for (const [name, secret] of TEN) hosted.secrets[name] = secret
  hosted.auditLog = audit.open()
})
afterAll(async () => {
  await hosted[Symbol.asyncDispose]()
  for (const one of [web, other, plain]) one[Symbol.dispose]()
  await authority[Symbol.asyncDispose]()
  hosted.auditLog?.[Symbol.dispose]()
  audit[Symbol.dispose]()
})

const curl = (path: string, options = '') => hosted.sh(`curl -sS --max-time 20 ${options} https://good.example:${web.port}${path}`)

test('the server hears the secrets, whatever the program said there; the program hears none of them back', async () => {
  for (const version of ['--http1.1', '--http2']) {
    const told = await curl(
      '/',
      `${version} -H "Authorization: Bearer placeholder" -H "X-Key-1: mine" -H "x-key-1: again" -H "X-Plain: mine"`,
    )
    const heard = web.heard.at(-1)?.headers ?? {}
    expect(heard['authorization']).toBe(`Bearer ${value(0)}`)
    expect(heard['x-plain']).toBe('said at the gate')
    for (let index = 1; index < TEN.length; index += 1) expect(heard[`x-key-${index}`]).toBe(`key ${value(index)};v=${index}`)
    expect(told).toContain(`Bearer ${'*'.repeat(value(0).length)}`)
    for (const [, secret] of TEN) expect(told).not.toContain(secret)
    expect(await curl('/fields', `${version} -i`)).toMatch(/x-key: Bearer \*+\r/i)
    expect(await curl('/early', `${version} -i`)).toMatch(/link: <Bearer \*+>; rel=preload/i)
    expect(await curl('/slow', version)).toBe(`Bearer ${'*'.repeat(value(0).length)}|end`)
  }
  expect(hosted.of('network-request').at(-1)).toMatchObject({ verdict: 'allow', secrets: TEN.map(([name]) => name) })
})

test('what would come back so that it cannot be seen does not come back', async () => {
  expect(await curl('/gzip', '-H "Accept-Encoding: gzip"')).toMatch(/NETWORK_DENIED.*encodes/)
  expect(web.heard.at(-1)?.headers['accept-encoding']).toBe('identity')
  expect(await curl('/', '-X TRACE -w "%{http_code}"')).toMatch(/405$/)
})

test('no other host, port or scheme hears them, and no redirect carries them there', async () => {
  await curl('/away', '-L -H "Authorization: Bearer placeholder"')
  await hosted.sh(`curl -sS --max-time 20 https://other.example:${other.port}/`)
  await hosted.sh(`curl -sS --max-time 20 http://good.example:${plain.port}/`)
  await hosted.sh(`curl -sS --max-time 20 -H "Host: good.example:${web.port}" https://other.example:${other.port}/`)
  expect(other.heard.length + plain.heard.length).toBeGreaterThanOrEqual(3)
  const said = JSON.stringify([...other.heard, ...plain.heard])
  for (const [, secret] of TEN) expect(said).not.toContain(secret)
})

test('a secret that is not there any more is a no', async () => {
  delete hosted.secrets['KEY_3']
  const before = web.heard.length
  expect(await curl('/')).toMatch(/NETWORK_DENIED.*KEY_3 is not stored/)
  expect(web.heard).toHaveLength(before)
  hosted.secrets['KEY_3'] = value(3)
})

test('after all that, none of the ten is in the log, in the records, or anywhere inside', async () => {
  const files = await Promise.all([
    readFile(audit.path, 'utf8'),
    hosted.sh('env; cat /proc/*/environ 2>/dev/null; grep -rls s3cret- /etc /home /tmp /var /caisson /run; true'),
  ])
  const all = [...files, JSON.stringify(hosted.records)].join('\n')
  expect(all).toContain('KEY_1')
  for (const [, secret] of TEN) expect(all).not.toContain(secret)
  expect(all).not.toContain('s3cret-')
})
