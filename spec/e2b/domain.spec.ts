import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { accept, PROGRAMS, runProgram } from './program.ts'
import { pythonWith } from './python.ts'

const folder = join(PROGRAMS, 'domain')
const resolver = join(folder, 'resolver')

describe('a domain and TLS: one variable, and every host name works', () => {
  let daemon: SpecDaemon
  let python: string
  let environment: Record<string, string>

  beforeAll(async () => {
    python = await pythonWith('requirements-1.txt')
    daemon = await SpecDaemon.open({ domain: 'sbx.localhost', tls: true })
    const { port } = new URL(daemon.url)
    environment = { E2B_DOMAIN: `sbx.localhost:${port}`, E2B_API_KEY: daemon.key, E2B_API_URL: '', E2B_SANDBOX_URL: '' }
  }, 600_000)

  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]()
  })

  it("E2B's newest JavaScript package", { timeout: 300_000 }, async () => {
    const trusted = { ...environment, NODE_EXTRA_CA_CERTS: daemon.caPath ?? '' }
    await accept(process.execPath, ['--import', join(resolver, 'names.mjs'), join(folder, 'names.mjs')], trusted)
  })

  it("the first program of E2B's README, as version 1 of its Python package has it, prints where it is", { timeout: 300_000 }, async () => {
    const trusted = { ...environment, SSL_CERT_FILE: daemon.caPath ?? '', PYTHONPATH: resolver }
    expect(await runProgram(python, [join(folder, 'constructor.py')], { environment: trusted })).toBe('/home/user\n')
  })
})
