import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OwnAddresses } from '../airlock/own-addresses.ts'
import { CommandLine } from './invoke.ts'

let line: CommandLine
beforeAll(async () => {
  line = await CommandLine.open()
})
afterAll(() => line[Symbol.asyncDispose]())

const profile = (...words: string[]) => line.caisson(['profile', ...words])
async function put(name: string, content: unknown): Promise<string> {
  const path = join(line.work, `${name}.json`)
  await writeFile(path, JSON.stringify(content))
  return path
}

test('those that ship are listed, and are as they should be', async () => {
  const names = ['account', 'code-interpreter', 'default', 'e2b', 'function', 'project', 'workspace']
  const listed = JSON.parse((await profile('list', '--json')).stdout) as { name: string; description: string }[]
  expect(listed.map(({ name }) => name)).toEqual(names)
  expect((await profile()).stdout).toContain(listed[0]?.description)
  const { exitCode, stdout } = await profile('check')
  expect([exitCode, stdout.trim().split('\n').length]).toEqual([0, names.length])
  expect(stdout).toContain('account extends workspace extends e2b extends default: as it should be')
})

test('one is shown whole, with who says each thing', async () => {
  const path = await put('mine', { extends: 'e2b', limits: { pids: 64 } })
  const says = JSON.parse((await profile('show', path, '--json')).stdout) as object[]
  expect(says).toContainEqual({ field: 'limits.pids', value: 64, by: 'mine' })
  expect(says).toContainEqual({ field: 'network', value: 'open', by: 'e2b' })
  expect(says).toContainEqual({ field: 'wall', value: 'container', by: 'default' })
  expect((await profile('show', path)).stdout).toMatch(/^limits\.pids +64 +mine$/m)
})

test('two are compared: 1 and what differs, or 0 and nothing', async () => {
  const path = await put('mine', { extends: 'default', description: 'Mine.', limits: { pids: 64 } })
  const { exitCode, stdout } = await profile('diff', 'default', path, '--json')
  expect([exitCode, JSON.parse(stdout)]).toEqual([1, { 'limits.pids': ['128', '64'] }])
  expect((await profile('diff', 'default', path)).stdout).toMatch(/^limits\.pids +128 +64$/m)
  expect(await profile('diff', 'e2b', 'e2b')).toEqual({ exitCode: 0, stdout: '', stderr: '' })
})

test('what is wrong is named with its place, and the others are looked at all the same', async () => {
  const wrong = await put('wrong', { extends: 'default', limits: { pidz: 1 } })
  const { exitCode, stdout, stderr } = await profile('check', wrong, 'e2b')
  expect([exitCode, stdout]).toEqual([125, 'e2b extends default: as it should be\n'])
  expect(stderr).toMatch(/^caisson: PROFILE_INVALID: \S+wrong\.json:1: limits\.pidz: no such field/)
  expect((await profile('show', 'none-such')).stderr).toMatch(/^caisson: PROFILE_UNKNOWN: no profile "none-such"; there are: account, /)
  for (const words of [['show'], ['diff', 'e2b'], ['list', 'e2b'], ['rewrite', 'e2b']]) {
    expect(await profile(...words)).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('nothing to do for') })
  }
})

describe('a profile that is proposed', () => {
  let addresses: OwnAddresses
  let server: Server
  let asked: string[]
  beforeAll(async () => {
    asked = []
    addresses = await OwnAddresses.open(2)
    server = createServer((request, reply) => {
      asked.push(`${request.headers.host}${request.url}`)
      reply.end('of the server')
    })
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
  })
  afterAll(async () => {
    server.close()
    await addresses[Symbol.asyncDispose]()
  })

  test('is one: under it the code reaches what it names, and nothing else', async () => {
    const { port } = server.address() as AddressInfo
    const [named = '', other = ''] = addresses.v4
    const code = [
      'import os, urllib.request',
      'opened = urllib.request.build_opener(urllib.request.ProxyHandler({})).open',
      `print(opened("http://${named}:${port}/named").read().decode())`,
      // Told when it runs: nobody reads that in it.
      `try: print(opened("http://%s:${port}/other" % os.environ["OTHER"]).read().decode())`,
      'except OSError as refused: print("refused")',
    ].join('\n')
    const { exitCode, stdout } = await line.caisson(['scan', '--propose', '-c', code])
    expect([exitCode, JSON.parse(stdout)]).toMatchObject([
      0,
      { extends: 'default', network: `allow:${named}:${port}`, limits: { pids: 64 } },
    ])
    const path = join(line.home, 'profiles', 'proposed.json')
    await writeFile(path, stdout)
    expect((await profile('check', 'proposed')).stdout).toBe('proposed extends default: as it should be\n')
    const env = { CAISSON_ALLOW_PRIVATE: `${named}/32,${other}/32` }
    const ran = await line.caisson(['run', '--profile', 'proposed', '--env', `OTHER=${other}`, '-c', code], { env })
    expect(ran.stdout).toBe('of the server\nrefused\n')
    expect(asked).toEqual([`${named}:${port}/named`])
  })

  test('is accepted whatever the code says: what no rule can say is no host, and a host is read as a client reads it', async () => {
    const texts = [
      ...['http://999.1.1.1/', 'http://a..b/', 'http://-x.com/', 'http://host:99999/', 'http://host:0/', 'http://x-.com', 'http://.x.com'],
      ...[`http://${'a'.repeat(70)}.com/`, 'http://xn--a/', 'https://...', 'http://localhost:8000/', 'http://0x7f.1/', 'http://[::1]/'],
      ...[
        'https://name:word@Secret.Example/x',
        'http://my_service:8080/x',
        'wss://[2001:db8::1]/s',
        'see (http://a.example), http://b.example.',
      ],
      ...['https://c.example:443/ and https://c.example/', 'http://3221225993/'],
    ]
    const program = join(line.work, 'texts.py')
    await writeFile(program, texts.map((text, index) => `t${index} = ${JSON.stringify(text)}\n`).join(''))
    const { intended } = JSON.parse((await line.caisson(['scan', '--json', program])).stdout)
    expect(intended.hosts).toEqual([
      '192.0.2.9:80',
      '[2001:db8::1]:443',
      'a.example:80',
      'b.example:80',
      'c.example:443',
      'my_service:8080',
      'secret.example:443',
    ])
    await writeFile(join(line.work, 'any.json'), (await line.caisson(['scan', '--propose', program])).stdout)
    expect(await profile('check', join(line.work, 'any.json'))).toMatchObject({ exitCode: 0, stderr: '' })
  })
})
