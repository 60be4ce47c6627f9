import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DaemonLine, exported } from './daemon-line.ts'

let daemon: DaemonLine
beforeAll(async () => {
  daemon = await DaemonLine.open(['--domain', 'sbx.localhost', '--tls'])
})
afterAll(async () => {
  expect(await daemon.end()).toEqual([])
  await daemon[Symbol.asyncDispose]()
})

test('the variables name the domain, the address, and what to trust', async () => {
  expect(daemon.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  expect(daemon.variables).toMatchObject({
    E2B_DOMAIN: `sbx.localhost:${new URL(daemon.url).port}`,
    E2B_SANDBOX_URL: daemon.url,
    NODE_EXTRA_CA_CERTS: join(daemon.line.home, 'ca/ca.pem'),
    SSL_CERT_FILE: join(daemon.line.home, 'ca/bundle.pem'),
  })
  expect(exported((await daemon.line.caisson(['env'])).stdout)).toEqual(daemon.variables)
})

test('the command line of this machine trusts it by itself', async () => {
  expect(await daemon.line.caisson(['run', '--', 'echo', 'hi'])).toEqual({ exitCode: 0, stdout: 'hi\n', stderr: '' })
})

test('another one has to be told whom to trust', async () => {
  const { port } = new URL(daemon.url)
  const env = {
    CAISSON_URL: `https://api.sbx.localhost:${port}`,
    CAISSON_API_KEY: daemon.variables['E2B_API_KEY'] ?? '',
    CAISSON_HOME: join(daemon.line.folder, 'elsewhere'),
  }
  const distrust = await daemon.line.caisson(['ps'], { env })
  expect(distrust.stderr).toMatch(/^caisson: DAEMON_UNREACHABLE: [^\n]*NODE_EXTRA_CA_CERTS[^\n]*\n$/)
  const trust = { ...env, NODE_EXTRA_CA_CERTS: daemon.variables['NODE_EXTRA_CA_CERTS'] ?? '' }
  expect(await daemon.line.caisson(['ps', '--json'], { env: trust })).toEqual({ exitCode: 0, stdout: '[]\n', stderr: '' })
})
