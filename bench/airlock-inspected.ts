import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Sandbox } from 'caisson'
import { HTTPS_CLIENT, HTTPS_SERVER } from './airlock-programs.ts'
import type { Row } from './report.ts'
import { type Summary, summary } from './statistics.ts'

const execute = promisify(execFile)
const MITMPROXY = 'mitmdump'
const MITMPROXY_PORT = 18_081
const MITMPROXY_MS = 20_000

type Measured = Record<'kept' | 'fresh', number[]>

/** A server of HTTPS that is believed because the host is told so. */
export interface HttpsServer extends AsyncDisposable {
  readonly port: number
  readonly certificate: string
}

export async function openHttpsServer(address: string): Promise<HttpsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'cai-'))
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=bench']
  await execute('openssl', [...made, '-addext', `subjectAltName=IP:${address}`, '-keyout', key, '-out', certificate])
  const server = spawn('python3', ['-c', HTTPS_SERVER, address, key, certificate], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [first] = (await once(server.stdout, 'data')) as [Buffer]
  return {
    port: Number(first.toString()),
    certificate,
    async [Symbol.asyncDispose]() {
      server.kill('SIGKILL')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What looking into a connection adds to a request, beside mitmproxy where it is installed. */
export async function inspected(address: string, { port, certificate }: HttpsServer, rounds: number): Promise<Row[]> {
  const network = { mode: 'allow', inspect: true, allow: [`${address}:${port}`] } as const
  await using sandbox = await Sandbox.create({ template: 'base', network, timeoutMs: null })
  await sandbox.files.write('/home/user/client.py', HTTPS_CLIENT)
  const args = [address, String(port), String(rounds * 5)]
  const through = parsed((await sandbox.commands.run(['python3', '/home/user/client.py', ...args])).stdout)
  const without = parsed((await execute('python3', ['-c', HTTPS_CLIENT, ...args, certificate])).stdout)
  const reference = await throughMitmproxy(certificate, args)
  const added = (measured: Measured, key: keyof Measured) => difference(summary(measured[key]), summary(without[key]))
  const skipped = { skipped: 'mitmdump is not installed' }
  return [
    { what: 'an inspected HTTPS request, added', unit: 'ms', measured: added(through, 'kept'), aim: 3 },
    { what: '  on a connection of its own, added', unit: 'ms', measured: added(through, 'fresh') },
    { what: '  with mitmproxy, added', unit: 'ms', measured: reference === undefined ? skipped : added(reference, 'kept') },
  ]
}

async function throughMitmproxy(certificate: string, args: readonly string[]): Promise<Measured | undefined> {
  const proxy = spawn(MITMPROXY, ['--quiet', '--listen-port', String(MITMPROXY_PORT), '--ssl-insecure'], { stdio: 'ignore' })
  const failed = once(proxy, 'error').then(() => true)
  try {
    if (!(await Promise.race([listens(), failed.then(() => false)]))) return undefined
    return parsed((await execute('python3', ['-c', HTTPS_CLIENT, ...args, certificate, String(MITMPROXY_PORT)])).stdout)
  } finally {
    proxy.kill('SIGKILL')
  }
}

async function listens(): Promise<boolean> {
  for (const until = Date.now() + MITMPROXY_MS; Date.now() < until; ) {
    const socket = connect(MITMPROXY_PORT, '127.0.0.1')
    try {
      await once(socket, 'connect')
      return true
    } catch {
      // Not yet.
      await wait(100)
    } finally {
      socket.destroy()
    }
  }
  return false
}

function difference(one: Summary, other: Summary): Summary {
  const less = (key: 'min' | 'p50' | 'p95' | 'max') => one[key] - other[key]
  return { n: one.n, min: less('min'), p50: less('p50'), p95: less('p95'), max: less('max') }
}

function parsed(text: string): Measured {
  return JSON.parse(text) as Measured
}
