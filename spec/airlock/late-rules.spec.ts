import { afterAll, beforeAll, expect, test } from 'vitest'
import { SpecDaemon } from '../api/daemon.ts'
import { Guest } from '../daemon/guest.ts'

// E2B's `rules` set fields on requests, which takes looking into connections. A sandbox that was made without any may get them while it runs.

const RULES = { allowOut: ['localhost'], denyOut: ['0.0.0.0/0'], rules: { localhost: [{ transform: { headers: { 'X-Team': 'blue' } } }] } }
/** Nobody need be there: who reads this answer has believed the certificate that it came with. */
const LOOKED_INTO = /UPSTREAM_FAILED|CERTIFICATE/
const CURL = 'curl -sS --max-time 20 -x http://127.0.0.1:3128 https://localhost/ 2>&1'
const NODE = `node -e "
const tls = require('tls'), http = require('http')
http.request({ host: '127.0.0.1', port: 3128, method: 'CONNECT', path: 'localhost:443' }).on('connect', (_, socket) => {
  const to = tls.connect({ socket, servername: 'localhost' }, () => to.write('GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n'))
  to.on('data', (bytes) => process.stdout.write(bytes)).on('error', (e) => console.log(e.code))
}).end()"`
const PYTHON = `
import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({'https': 'http://127.0.0.1:3128'}))
try:
    print(opener.open('https://localhost/', timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.read().decode())
except OSError as error:
    print(error)
`

const put = async (guest: Guest) => await (await guest.ask('PUT', '/network', RULES)).text()

let daemon: SpecDaemon
beforeAll(async () => {
  daemon = await SpecDaemon.open({ env: { CAISSON_ALLOW_PRIVATE: '127.0.0.1:443', CAISSON_FROZEN_GRACE_MS: '600000' } })
})
afterAll(() => daemon[Symbol.asyncDispose]())

test('rules that look into requests hold for a sandbox that was made without: all that starts inside from then on trusts them, code of contexts that run too', async () => {
  const guest = await Guest.create(daemon, { templateID: 'code-interpreter-v1' })
  expect(await guest.code('begun = 1')).toBe('')
  expect(await guest.run(CURL)).not.toMatch(LOOKED_INTO)
  expect(await put(guest)).toBe('')

  for (const command of [CURL, `env -i PATH=$PATH ${CURL}`, NODE])
    expect([command, await guest.run(command)]).toEqual([command, expect.stringMatching(LOOKED_INTO)])
  expect(await guest.code(`${PYTHON}\nprint(begun)`)).toMatch(/UPSTREAM_FAILED[\s\S]*1\n$/)
  // It is there once, however often rules come.
  expect(await put(guest)).toBe('')
  const count = 'grep -c BEGIN /etc/ssl/certs/ca-certificates.crt'
  const before = await guest.run(count)
  expect(await put(guest)).toBe('')
  expect(await guest.run(count)).toBe(before)

  // With its processes, with its files only, and behind another daemon.
  for (const memory of [true, false]) {
    expect((await guest.ask('POST', '/pause', { memory })).status).toBe(204)
    expect((await guest.ask('POST', '/connect', { timeout: 120 })).status).toBe(201)
    expect(await guest.run(CURL)).toMatch(LOOKED_INTO)
    expect(await guest.code(PYTHON)).toMatch(LOOKED_INTO)
  }
})

test('the next daemon knows it', async () => {
  const guest = await Guest.create(daemon)
  expect(await put(guest)).toBe('')
  await daemon.stop('SIGKILL')
  daemon = await daemon.again({ env: { CAISSON_ALLOW_PRIVATE: '127.0.0.1:443' } })
  await expect.poll(() => guest.at(daemon).run(CURL), { timeout: 30_000 }).toMatch(LOOKED_INTO)
  expect(await guest.at(daemon).run(NODE)).toMatch(LOOKED_INTO)
})

test('one that is paused with its processes is to run first: nothing can be brought to it', async () => {
  const guest = await Guest.create(daemon)
  expect((await guest.ask('POST', '/pause', {})).status).toBe(204)
  const answer = await guest.ask('PUT', '/network', RULES)
  expect([answer.status, await answer.text()]).toEqual([409, expect.stringContaining('paused')])
})
