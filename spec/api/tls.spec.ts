import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openTls, type Tls } from '../../host/api/tls/tls.ts'
import { Door, KEY, textOf } from './door.ts'
import { everything, exchange } from './raw.ts'

// `https://${getHost(port)}` works for whoever trusts the authority of the state folder; plain HTTP from this machine goes on working on the same port.

const DOMAIN = 'sbx.localhost'
const signal = new AbortController().signal
const run = promisify(execFile)
const at = (domain: string | null) => ({ domain, host: '127.0.0.1' })
let home = ''
let tls: Tls
let ca = ''
let door: Door

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'cai-'))
  tls = await openTls(home, at(`${DOMAIN}:8443`), signal)
  ca = await readFile(tls.caPath, 'utf8')
  door = await Door.open(undefined, { tls, patience: { headMs: 500, bodyMs: 500, lingerMs: 200, sweepMs: 50 } }, DOMAIN)
  door.sandboxes.set('i1', {})
})
afterAll(async () => {
  await door.close()
  await rm(home, { recursive: true, force: true })
})

/** As if the name resolved: Node does not know that those below localhost are this machine. */
function ask(host: string, path: string, headers: Record<string, string> = {}, agent?: Agent): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      host: '127.0.0.1',
      port: door.port,
      servername: host,
      path,
      ca,
      headers: { host, ...headers },
      ...(agent ? { agent } : {}),
    }
    request(options, (answer) => {
      textOf(answer).then((text) => resolve({ status: answer.statusCode ?? 0, text }), reject)
    })
      .on('error', reject)
      .end()
  })
}

function secure(servername = DOMAIN): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: door.port, servername, ca, ALPNProtocols: ['h2', 'http/1.1'] }, () => resolve(socket))
    socket.once('error', reject)
  })
}

test('the hosts of the domain, with a certificate that is checked', async () => {
  expect(await ask(`api.${DOMAIN}`, '/sandboxes/x', { 'x-api-key': KEY })).toEqual({ status: 200, text: '{"id":"x","owner":"somebody"}' })
  expect(JSON.parse((await ask(`49983-i1.${DOMAIN}`, '/a')).text)).toMatchObject({ who: 'envd', id: 'i1', url: '/a' })
  expect(JSON.parse((await ask(`49999-i1.${DOMAIN}`, '/a')).text)).toMatchObject({ who: 'interpreter' })
  expect((await ask(DOMAIN, '/health')).status).toBe(200)
  expect((await ask('localhost', '/health')).status).toBe(200)
  await expect(ask('elsewhere.example', '/health')).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
})

test('curl resolves the name by itself, and trusts the file', async () => {
  const url = `https://49983-i1.${DOMAIN}:${door.port}/b?c=d`
  const { stdout } = await run('curl', ['--silent', '--show-error', '--cacert', tls.caPath, url])
  expect(JSON.parse(stdout)).toMatchObject({ who: 'envd', id: 'i1', url: '/b?c=d' })
  await expect(run('curl', ['--silent', url])).rejects.toMatchObject({ code: 60 })
})

test('another program: Node with NODE_EXTRA_CA_CERTS, Python with SSL_CERT_FILE', async () => {
  const url = `https://localhost:${door.port}/health`
  const node = `fetch(${JSON.stringify(url)}).then((r) => console.log(r.status))`
  const options = (env: Record<string, string>) => ({ env: { PATH: process.env['PATH'] ?? '', ...env } })
  expect((await run(process.execPath, ['-e', node], options({ NODE_EXTRA_CA_CERTS: tls.caPath }))).stdout).toBe('200\n')
  const python = `import urllib.request; print(urllib.request.urlopen(${JSON.stringify(url)}).status)`
  expect((await run('python3', ['-c', python], options({ SSL_CERT_FILE: tls.bundlePath }))).stdout).toBe('200\n')
  await expect(run('python3', ['-c', python], options({}))).rejects.toThrow('CERTIFICATE_VERIFY_FAILED')
})

test('plain HTTP on the same port, connections that are kept, and HTTP/1.1 for whoever offers more', async () => {
  expect((await fetch(`http://127.0.0.1:${door.port}/health`)).status).toBe(200)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let round = 0; round < 3; round += 1) expect((await ask(DOMAIN, '/health', {}, agent)).status).toBe(200)
  expect(agent.freeSockets[Object.keys(agent.freeSockets)[0] ?? '']?.length).toBe(1)
  agent.destroy()
  const socket = await secure()
  expect([socket.alpnProtocol, socket.getProtocol()]).toEqual(['http/1.1', 'TLSv1.3'])
  socket.destroy()
})

test('what is neither is refused, and silence is not waited for', async () => {
  expect((await exchange(door.port, '\x15\x03\x01\x00\x02\x02\x28')).status).toBe(400)
  const half = connectPlain(door.port, '127.0.0.1')
  half.write('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1')
  await everything(half)
  expect((await ask(DOMAIN, '/health')).status).toBe(200)
})

test('over TLS too, a connection breaks off with its sandbox', async () => {
  door.serveEnvd = async ({ reply }) => {
    reply.writeHead(200)
    reply.write('some')
    await new Promise(() => undefined)
  }
  const socket = await secure(`49983-i1.${DOMAIN}`)
  const all = everything(socket)
  socket.write(`GET / HTTP/1.1\r\nHost: 49983-i1.${DOMAIN}\r\n\r\n`)
  await new Promise<void>((resolve) => socket.once('data', () => resolve()))
  door.leave('i1')
  expect(await all).toMatchObject({ text: expect.stringContaining('some'), error: { code: 'ECONNRESET' } })
  expect(JSON.parse((await ask(`49983-i1.${DOMAIN}`, '/health')).text)).toMatchObject({ code: 502, message: 'The sandbox was not found' })
})

test('it stops with connections that have said nothing yet', async () => {
  const own = await Door.open(undefined, { tls, drainMs: 50 }, DOMAIN)
  const silent = connectPlain(own.port, '127.0.0.1')
  const over = everything(silent)
  await new Promise<void>((resolve) => silent.once('connect', () => resolve()))
  await own.close()
  await over
})

test('the authority is made once; a certificate anew for another domain; both for nobody else to read', async () => {
  const again = await openTls(home, at(DOMAIN), signal)
  expect([await readFile(again.caPath, 'utf8'), again.cert]).toEqual([ca, tls.cert])
  const other = await openTls(home, { domain: 'other.example', host: '192.0.2.1' }, signal)
  expect(await readFile(other.caPath, 'utf8')).toBe(ca)
  const certificate = new X509Certificate(other.cert)
  expect(certificate.subjectAltName).toBe(
    'DNS:other.example, DNS:*.other.example, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:192.0.2.1',
  )
  expect(certificate.verify(new X509Certificate(ca).publicKey)).toBe(true)
  expect([certificate.ca, new X509Certificate(ca).ca]).toEqual([false, true])
  for (const name of ['ca.key', 'ca.pem', 'server.key', 'server.pem', 'bundle.pem']) {
    expect([name, (await stat(join(home, 'ca', name))).mode & 0o777]).toEqual([name, 0o600])
  }
  // One that is good for more is good.
  expect((await openTls(home, at(null), signal)).cert).toBe(other.cert)
})

test('a domain that no certificate can be for, and files that are damaged, are named', async () => {
  for (const domain of ['localhost', '127.0.0.1', '*.x.example', 'x..example', '-x.example', '']) {
    await expect(openTls(home, at(domain), signal)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  }
  const broken = await mkdtemp(join(tmpdir(), 'cai-'))
  await openTls(broken, at(DOMAIN), signal)
  await writeFile(join(broken, 'ca', 'ca.key'), tls.key)
  await expect(openTls(broken, at(DOMAIN), signal)).rejects.toMatchObject({
    code: 'HOME_UNUSABLE',
    hint: expect.stringContaining('Remove'),
  })
  await writeFile(join(broken, 'ca', 'ca.pem'), 'nonsense')
  await expect(openTls(broken, at(DOMAIN), signal)).rejects.toMatchObject({ code: 'HOME_UNUSABLE' })
  await rm(broken, { recursive: true })
})
