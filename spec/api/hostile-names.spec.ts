import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { SpecDaemon } from './daemon.ts'
import { exchange, head } from './raw-client.ts'
import { addressed, enveloped, WireClient, type WireSandbox } from './wire-client.ts'

/** Names of files, sandboxes and programs that mean harm. */
describe('hostile names', () => {
  let daemon: SpecDaemon
  let sandbox: WireSandbox
  let client: WireClient
  let folder: string
  const secret = `canary-${Math.random().toString(36).slice(2)}`

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'canary-'))
    await writeFile(join(folder, 'canary.txt'), secret)
    daemon = await SpecDaemon.open()
    client = new WireClient(daemon.url, daemon.key)
    sandbox = await client.create()
  })

  afterAll(async () => {
    client?.[Symbol.dispose]()
    await daemon?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  afterEach(async () => {
    expect(daemon.process.exitCode, daemon.log.slice(-2000)).toBeNull()
    expect((await client.run(sandbox, 'echo lives')).stdout).toBe('lives\n')
  })

  const inside = (port = 49983) => addressed(sandbox, port)
  const call = (method: string, body: unknown) =>
    fetch(`${daemon.url}/${method}`, {
      method: 'POST',
      headers: { ...inside(), 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })

  it('paths that climb out of the sandbox end inside it', async () => {
    const host = join(folder, 'canary.txt')
    for (const path of [
      host,
      `../../../../../..${host}`,
      `/proc/1/root${host}`,
      `/proc/self/root/../../../..${host}`,
      `..%2f..%2f..%2f..${host}`,
    ]) {
      const answer = await fetch(`${daemon.url}/files?path=${encodeURIComponent(path)}`, { headers: inside() })
      expect(await answer.text()).not.toContain(secret)
      expect([400, 403, 404]).toContain(answer.status)
      const stat = await call('filesystem.Filesystem/Stat', { path })
      expect(stat.status).not.toBe(200)
    }
    await client.run(sandbox, `ln -s ${host} host-link; ln -s / root-link; ln -s ${folder} dir-link`)
    for (const path of ['host-link', `root-link${host}`, 'dir-link/canary.txt']) {
      const answer = await fetch(`${daemon.url}/files?path=${encodeURIComponent(path)}`, { headers: inside() })
      expect(await answer.text()).not.toContain(secret)
    }
    const written = await fetch(`${daemon.url}/files?path=${encodeURIComponent('dir-link/planted.txt')}`, {
      method: 'POST',
      headers: { ...inside(), 'content-type': 'application/octet-stream' },
      body: 'planted',
    })
    await written.text()
    await expect(rm(join(folder, 'planted.txt'))).rejects.toThrow('ENOENT')
  })

  it('paths of the API that climb', async () => {
    for (const path of [
      '/sandboxes/../../etc/passwd',
      '/sandboxes/%2e%2e%2f%2e%2e',
      '/v2/../v2/../../x',
      '/sandboxes/%00',
      '/sandboxes/%ff%fe',
      '/%',
      '//',
      '/caisson/v1/../../x',
    ]) {
      const answer = await exchange(daemon.url, [head(`GET ${path}`, { 'x-api-key': daemon.key })])
      expect([400, 404], path).toContain(answer.status)
    }
    for (const id of ['../x', '..', '.', 'a/b', 'A B', '\u00ff', 'i'.repeat(5000), "i' or 1=1 --"]) {
      const raw = await exchange(daemon.url, [head('GET /health', { ...inside(), 'e2b-sandbox-id': id })])
      expect([400, 404, 502], id.slice(0, 20)).toContain(raw.status)
    }
  })

  it('names with a NUL in them, and names that are no UTF-8', async () => {
    for (const path of ['%00', 'a%00b', '/home/user/%00', '%ff%fe', 'a%c3%28b', '%ed%a0%80']) {
      const read = await exchange(daemon.url, [head(`GET /files?path=${path}`, inside())])
      expect([400, 404], path).toContain(read.status)
      const body = 'x'
      const headers = { ...inside(), 'content-type': 'application/octet-stream', 'content-length': '1' }
      const write = await exchange(daemon.url, [head(`POST /files?path=${path}`, headers) + body])
      expect(write.status, path).toBeLessThan(500)
    }
    for (const name of [Buffer.from('a\0b'), Buffer.from([0xff, 0xfe]), Buffer.from('../../../etc/passwd'), Buffer.alloc(5000, 0x61)]) {
      const top = '--b\r\ncontent-disposition: form-data; name="file"; filename="'
      const body = Buffer.concat([Buffer.from(top), name, Buffer.from('"\r\n\r\nx\r\n--b--\r\n')])
      const headers = { ...inside(), 'content-type': 'multipart/form-data; boundary=b', 'content-length': String(body.length) }
      const answer = await exchange(daemon.url, [Buffer.concat([Buffer.from(head('POST /files', headers)), body])])
      expect(answer.status).toBeLessThan(500)
    }
    for (const path of ['\0', 'a\0b', '\ud800']) {
      for (const method of ['Stat', 'ListDir', 'MakeDir', 'Remove', 'WatchDir', 'CreateWatcher']) {
        const answer = await call(`filesystem.Filesystem/${method}`, { path })
        expect(answer.status, `${method} ${JSON.stringify(path)}`).not.toBe(200)
        expect(answer.status).toBeLessThan(500)
      }
    }
    for (const process of [
      { cmd: 'a\0b' },
      { cmd: '/bin/sh', args: ['-c', 'echo \0'] },
      { cmd: '/bin/true', envs: { 'A\0': 'x' } },
      { cmd: '/bin/true', envs: { 'A=B': 'x' } },
      { cmd: '/bin/true', cwd: '\0' },
      {},
    ]) {
      const text = await start({ process })
      expect(text, JSON.stringify(process)).toMatch(/"code":"(invalid_argument|not_found|unknown)"/)
    }
  })

  async function start(message: unknown): Promise<string> {
    const envelope = enveloped(Buffer.from(JSON.stringify(message)))
    const headers = { ...inside(), 'content-type': 'application/connect+json', 'connect-protocol-version': '1' }
    return await (await fetch(`${daemon.url}/process.Process/Start`, { method: 'POST', headers, body: envelope })).text()
  }
})
