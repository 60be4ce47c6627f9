import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Egress } from '../../host/airlock/egress.ts'
import { Hosted, inspecting } from './hosted.ts'
import { Authority, Web } from './web.ts'

const execute = promisify(execFile)
let folder: string
let authority: Authority
let web: Web
let hosted: Hosted
let wheel: Buffer
let tarball: Buffer
let served = 0
let version = 1

const rules = (cache: 'off' | 'keep' | 'replay'): Egress => ({
  ...inspecting({ inspect: false, cache, allow: [`good.example:${web.port}`, 'other.example'] }),
  configured: [{ host: 'good.example', port: web.port }],
})

const WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as z:
    z.writestr('demo_pkg.py', 'WORD = "from the wheel"\\n')
    z.writestr('demo_pkg-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: demo-pkg\\nVersion: 1.0\\n')
    z.writestr('demo_pkg-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    z.writestr('demo_pkg-1.0.dist-info/RECORD', '')
`

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cai-'))
  const file = join(folder, 'demo_pkg-1.0-py3-none-any.whl')
  await execute('python3', ['-c', WHEEL, file])
  wheel = await readFile(file)
  await mkdir(join(folder, 'package'))
  await writeFile(join(folder, 'package', 'package.json'), '{"name":"demo-pkg","version":"1.0.0","main":"index.js"}')
  await writeFile(join(folder, 'package', 'index.js'), 'module.exports = "from the tarball"\n')
  await execute('tar', ['czf', join(folder, 'demo.tgz'), '-C', folder, 'package'])
  tarball = await readFile(join(folder, 'demo.tgz'))
  authority = await Authority.open()
  web = await Web.open({
    identity: await authority.identity(['good.example']),
    serve(request, given) {
      const response = given as ServerResponse
      const path = request.url ?? ''
      served += 1
      const immutable = { 'cache-control': 'public, immutable, max-age=31536000' }
      if (path.endsWith('.whl')) return void response.writeHead(200, immutable).end(wheel)
      if (path.endsWith('.tgz')) return void response.writeHead(200, immutable).end(tarball)
      if (path === '/private') return void response.writeHead(200, { 'cache-control': 'private' }).end('mine')
      if (path === '/echo') return void response.writeHead(200, immutable).end(JSON.stringify(request.headers))
      if (path === '/cut') {
        response.writeHead(200, { ...immutable, 'content-length': '100' }).write('half')
        return void setTimeout(() => request.socket.destroy(), 20)
      }
      const etag = `"v${version}"`
      if (request.headers['if-none-match'] === etag) return void response.writeHead(304, { etag }).end()
      if (path.startsWith('/simple/demo-pkg')) {
        const sha = createHash('sha256').update(wheel).digest('hex')
        return void response
          .writeHead(200, { etag, 'content-type': 'text/html', vary: 'Accept, Accept-Encoding' })
          .end(`<a href="/files/demo_pkg-1.0-py3-none-any.whl#sha256=${sha}">demo_pkg-1.0-py3-none-any.whl</a>`)
      }
      if (path.startsWith('/npm/demo-pkg')) {
        const dist = {
          tarball: `https://good.example:${web.port}/files/demo.tgz`,
          shasum: createHash('sha1').update(tarball).digest('hex'),
        }
        const versions = { '1.0.0': { name: 'demo-pkg', version: '1.0.0', dist } }
        return void response
          .writeHead(200, { etag, 'content-type': 'application/json' })
          .end(JSON.stringify({ name: 'demo-pkg', 'dist-tags': { latest: '1.0.0' }, versions }))
      }
      response.writeHead(200, { etag }).end(`version ${version}`)
    },
  })
  hosted = await Hosted.open(rules('keep'), authority.path)
})
afterAll(async () => {
  await hosted[Symbol.asyncDispose]()
  web[Symbol.dispose]()
  await authority[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})
beforeEach(() => {
  served = 0
  hosted.names['good.example'] = ['127.0.0.1']
  hosted.airlock.replace(hosted.id, rules('keep'))
})

const curl = (path: string, more = '') => hosted.sh(`curl -sS --max-time 20 ${more} https://good.example:${web.port}${path}`)
const pip = () =>
  hosted.sh(
    `rm -rf /tmp/t && python3 -m pip install -q --no-cache-dir --disable-pip-version-check --target /tmp/t --index-url https://good.example:${web.port}/simple/ demo-pkg && PYTHONPATH=/tmp/t python3 -c "import demo_pkg; print(demo_pkg.WORD)"`,
  )
const npm = () =>
  hosted.sh(
    `rm -rf /tmp/n /tmp/nc && mkdir /tmp/n && cd /tmp/n && HOME=/tmp/nc npm install --silent --no-audit --no-fund --cache /tmp/nc --registry https://good.example:${web.port}/npm/ demo-pkg && node -p "require('demo-pkg')"`,
  )

test.for([
  ['pip', pip, 'python3 -m pip --version', 'from the wheel'],
  ['npm', npm, 'npm --version', 'from the tarball'],
] as const)(
  '%s: the second time only what may have changed is asked for, and replayed nothing is',
  async ([, install, needs, word], { skip }) => {
    if (!/^\d|^pip \d/.test(await hosted.sh(needs))) skip('not in this template')
    expect(await install()).toContain(word)
    const first = served
    expect(first).toBeGreaterThanOrEqual(2)
    served = 0
    expect(await install()).toContain(word)
    expect(served).toBe(first - 1)
    served = 0
    const connections = web.connections
    hosted.airlock.replace(hosted.id, rules('replay'))
    hosted.names['good.example'] = []
    expect(await install()).toContain(word)
    hosted.names['good.example'] = ['127.0.0.1']
    expect([served, web.connections]).toEqual([0, connections])
  },
)

test('replayed, what was not kept, another host, another method and a web socket are a no', async () => {
  hosted.airlock.replace(hosted.id, rules('replay'))
  const before = web.connections
  expect(await curl('/never')).toMatch(/NETWORK_DENIED.*cache replay/)
  expect(await curl('/never', '-X POST')).toMatch(/NETWORK_DENIED.*cache replay/)
  expect(await curl('/never', '-H "Connection: Upgrade" -H "Upgrade: websocket"')).toMatch(/NETWORK_DENIED.*cache replay/)
  expect(await hosted.sh(`curl -sS --max-time 20 https://other.example:${web.port}/`)).toMatch(/resolve/)
  expect(await hosted.sh(`curl -sS --max-time 20 http://127.0.0.2:${web.port}/`)).not.toMatch(/version/)
  expect([served, web.connections]).toEqual([0, before])
})

test('what changes is asked anew, and what has not come whole or is for one alone is not kept', async () => {
  version = 1
  expect(await curl('/page')).toBe('version 1')
  expect(await curl('/page')).toBe('version 1')
  version = 2
  expect(await curl('/page')).toBe('version 2')
  expect(served).toBe(3)
  for (const [path, more] of [
    ['/private', ''],
    ['/cut', ''],
    ['/echo', '-H "Authorization: Bearer mine"'],
    ['/echo', '-H "Cookie: a=b"'],
    ['/echo', '-H "Range: bytes=0-3"'],
  ] as const) {
    served = 0
    await curl(path, more)
    await curl(path, more)
    expect([path, more, served]).toEqual([path, more, 2])
  }
})

test('what a request says besides its URL cannot change what others get', async () => {
  const told = JSON.parse(await curl('/echo', '-H "X-Forwarded-Host: evil.example" -A evil')) as Record<string, string>
  expect(told).not.toHaveProperty('x-forwarded-host')
  expect(told['user-agent']).toBeUndefined()
  served = 0
  expect(JSON.parse(await curl('/echo'))).toEqual(told)
  expect(served).toBe(0)
})

test('a kept answer that was changed on the disk is not taken for whole', async () => {
  await curl('/files/demo_pkg-1.0-py3-none-any.whl', '-o /dev/null')
  const name = `${createHash('sha256').update(wheel).digest('hex')}.body`
  await writeFile(join(hosted.home, 'cache', name), Buffer.alloc(wheel.length))
  const url = `https://good.example:${web.port}/files/demo_pkg-1.0-py3-none-any.whl`
  expect(await hosted.sh(`curl -sS --max-time 20 -o /dev/null ${url} && echo taken for whole`)).not.toContain('taken for whole')
})
