import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, normalize } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { python, shared } from './gated.ts'

const execute = promisify(execFile)
const gate = shared()
let folder: string
let server: Server
let port: number
let requests = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cai-'))
  await writeFile(join(folder, 'hello'), 'hello from outside\n')
  const work = join(folder, 'work')
  const git = (...args: string[]) => execute('git', ['-c', 'user.name=x', '-c', 'user.email=x@x', '-C', work, ...args])
  await execute('git', ['init', '-q', '-b', 'main', work])
  await git('commit', '-q', '--allow-empty', '-m', 'first')
  await execute('git', ['clone', '-q', '--bare', work, join(folder, 'repository.git')])
  await execute('git', ['-C', join(folder, 'repository.git'), 'update-server-info'])
  await servePackages()
  server = createServer((request, response) => {
    requests += 1
    const path = normalize(new URL(request.url ?? '/', 'http://x').pathname)
    readFile(join(folder, path.endsWith('/') ? `${path}index.html` : path)).then(
      (bytes) => response.writeHead(200, path.endsWith('/') ? { 'content-type': 'text/html' } : {}).end(bytes),
      () => response.writeHead(404).end(),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
})

/** One package for each of pip, npm and apt. */
async function servePackages(): Promise<void> {
  await Promise.all(['simple/demo-pkg', 'npm', 'apt'].map((path) => mkdir(join(folder, path), { recursive: true })))
  await execute('python3', ['-c', WHEEL, join(folder, WHEEL_NAME)])
  await writeFile(join(folder, 'simple/demo-pkg/index.html'), `<a href="/${WHEEL_NAME}">${WHEEL_NAME}</a>`)
  const versions = { '1.0.0': { name: 'demo-pkg', version: '1.0.0', description: 'hello', dist: { tarball: 'http://x/none.tgz' } } }
  await writeFile(join(folder, 'npm/demo-pkg'), JSON.stringify({ name: 'demo-pkg', 'dist-tags': { latest: '1.0.0' }, versions }))
  await writeFile(
    join(folder, 'apt/Packages'),
    'Package: demo-pkg\nVersion: 1\nArchitecture: all\nFilename: ./none.deb\nDescription: hello\n',
  )
}

const WHEEL_NAME = 'demo_pkg-1.0-py3-none-any.whl'
const WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as z:
    for name, text in [('METADATA', 'Metadata-Version: 2.1\\nName: demo-pkg\\nVersion: 1.0\\n'), ('WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'), ('RECORD', '')]:
        z.writestr('demo_pkg-1.0.dist-info/' + name, text)
`

afterAll(async () => {
  server.close()
  await rm(folder, { recursive: true, force: true })
})

beforeEach(() => {
  const { airlock } = gate()
  airlock.rules.name = ({ name }) => name === 'good.example' || name === 'shut.example'
  airlock.rules.connect = ({ name }) => (name === 'good.example' ? { verdict: 'tunnel', dial: ['127.0.0.1'] } : { verdict: 'deny' })
})

/** Each prints what it got, or fails with a word about the network. `HOST` is put in. */
const clients: Record<string, string> = {
  curl: 'curl -sS --max-time 20 http://HOST/hello',
  'curl -4': 'curl -4 -sS --max-time 20 http://HOST/hello',
  'curl -6': 'curl -6 -sS --max-time 20 http://HOST/hello',
  'curl, CONNECT': 'curl -sS --max-time 20 -p -x http://127.0.0.1:3128 http://HOST/hello',
  'curl, SOCKS5 by name': 'curl -sS --max-time 20 -x socks5h://127.0.0.1:1080 http://HOST/hello',
  'curl, SOCKS5 by address': 'curl -sS --max-time 20 -x socks5://127.0.0.1:1080 http://HOST/hello',
  wget: 'wget -q -T 20 -t 1 -O - http://HOST/hello || { echo "wget: connection failed $?"; false; }',
  git: 'git ls-remote http://HOST/repository.git',
  'python urllib': `python3 -c "import urllib.request; print(urllib.request.urlopen('http://HOST/hello', timeout=20).read().decode())"`,
  'python requests': `python3 -c "import requests; print(requests.get('http://HOST/hello', timeout=20).text)"`,
  'python asyncio': `python3 -c "
import asyncio
async def main():
    reader, writer = await asyncio.open_connection(*'HOST'.split(':'))
    writer.write(b'GET /hello HTTP/1.0\\r\\n\\r\\n')
    print((await reader.read()).decode())
asyncio.run(main())"`,
  'node fetch': `node -e "fetch('http://HOST/hello').then(async (r) => console.log(await r.text()), (e) => { console.log(e.cause ?? e); process.exit(1) })"`,
  'node http': `node -e "require('http').get('http://HOST/hello', (r) => r.pipe(process.stdout)).on('error', (e) => { console.log(e); process.exit(1) })"`,
  pip: 'python3 -m pip download -vv --no-deps --no-cache-dir --disable-pip-version-check --retries 0 --timeout 20 --trusted-host good.example --trusted-host shut.example -d /tmp/pip --index-url http://HOST/simple/ demo-pkg && echo hello',
  npm: 'npm view demo-pkg description --registry http://HOST/npm/ --cache /tmp/npm --fetch-retries 0 --no-update-notifier',
  apt: `rm -rf /tmp/apt && mkdir -p /tmp/apt/lists/partial /tmp/apt/archives/partial && touch /tmp/apt/status && echo 'deb [trusted=yes] http://HOST/apt ./' >/tmp/apt/list && cat >/tmp/apt/conf <<'end'
Dir::State "/tmp/apt"; Dir::State::lists "lists"; Dir::State::status "/tmp/apt/status"; Dir::Cache "/tmp/apt"; Dir::Etc::sourcelist "/tmp/apt/list";
Dir::Etc::sourceparts "-"; Dir::Etc::parts "-"; Dir::Etc::trustedparts "-"; APT::Sandbox::User ""; Acquire::Retries "0"; Acquire::http::Timeout "20";
end
APT_CONFIG=/tmp/apt/conf apt-get update 2>&1 && APT_CONFIG=/tmp/apt/conf apt-cache show demo-pkg`,
  'node dns': `node -e "require('dns').promises.resolve4('HOST'.split(':')[0]).then((a) => console.log('hello', a), (e) => { console.log(e); process.exit(1) })"`,
}

const present = async (command: string) => {
  const program = command.split(' ')[0]
  const needs = /import requests|-m pip|apt-get/.exec(command)?.[0] ?? ''
  const probes: Record<string, string> = {
    'import requests': 'python3 -c "import requests"',
    '-m pip': 'python3 -m pip --version',
    'apt-get': 'command -v apt-get',
  }
  const probe = probes[needs] ?? `command -v ${program}`
  return (await gate().sh(`${probe} >/dev/null 2>&1 && echo yes`)) === 'yes\n'
}

test.for(Object.entries(clients))('%s resolves and connects where it may', async ([, command], { skip }) => {
  if (!(await present(command))) skip('not in this template')
  const told = await gate().sh(`${command.replaceAll('HOST', `good.example:${port}`)}; echo "exit $?"`)
  expect(told).toMatch(/(hello|refs\/heads\/main)[\s\S]*exit 0\n$/)
})

test.for(Object.entries(clients))('%s fails at once and says so where it may not', async ([, command], { skip }) => {
  if (!(await present(command))) skip('not in this template')
  const before = requests
  for (const host of ['shut.example', 'unknown.example', '203.0.113.9']) {
    if (command.includes('dns') && host !== 'unknown.example') continue
    if (command.includes('curl -6') && host === '203.0.113.9') continue
    // Their own starts take longest.
    if (/pip|npm/.test(command) && host !== 'shut.example') continue
    const told = await gate().sh(`${command.replaceAll('HOST', `${host}:${port}`)}; echo "exit $?"`)
    expect(told).toMatch(/reset|refused|resolve|not known|ENOTFOUND|connect|NETWORK_DENIED|403|not allowed|terminated|failed/i)
    expect(told).not.toMatch(/hello from outside|refs\/heads|timed out/)
    // Those that take any response of HTTP for a success have at least read the reason.
    if (!told.includes('NETWORK_DENIED')) expect(told).not.toMatch(/exit 0\n$/)
  }
  expect(requests).toBe(before)
})

/** Undici of Node 20 never comes to an end when a reset follows right on a connect: then a process ends without a word, with 0. */
test.each(['http', 'https'])('node fetch comes to an end however often it is denied: %s', async (scheme) => {
  const code = `const url = '${scheme}://203.0.113.9:${port}/'
  let settled = 0
  for (let round = 0; round < 120; round += 1) await fetch(url, { headers: { connection: 'close' } }).then((r) => r.text(), String).then(() => (settled += 1))
  console.log('settled', settled)`
  const encoded = Buffer.from(code).toString('base64')
  expect(await gate().sh(`echo ${encoded} | base64 -d >/tmp/fetch.mjs && node /tmp/fetch.mjs`)).toBe('settled 120\n')
})

test('a program that asks the kernel about its network finds one', async () => {
  const code = python`
print(sorted({info[4][0] for info in socket.getaddrinfo('good.example', 80, flags=socket.AI_ADDRCONFIG)}))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(('198.18.0.1', 53))
print(one.getsockname()[0])
`
  expect(await gate().python(code)).toMatch(/^\['198\.18\.1\.\d+', 'fdca:1550:9a7e:1::\d*'\]\n198\.18\.0\.2\n$/)
})
