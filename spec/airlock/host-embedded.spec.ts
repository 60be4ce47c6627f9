import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CommandLine } from '../cli/invoke.ts'
import { OwnAddresses } from './own-addresses.ts'

let own: OwnAddresses
let address: string
const server = createServer((_, reply) => reply.end('hello')).unref()
let line: CommandLine
let target: string

describe.runIf(process.getuid?.() === 0)('runs without a daemon (this spec adds an address to the loopback, and needs root for it)', () => {
  beforeAll(async () => {
    line = await CommandLine.open()
    own = await OwnAddresses.open(1)
    address = own.v4[0] ?? ''
    await once(server.listen(0, address), 'listening')
    target = `${address}:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    await own?.[Symbol.asyncDispose]()
    server.close()
    expect(await line.leftovers()).toEqual([])
    await line[Symbol.asyncDispose]()
  })

  const run = (net: string, command: string, ...more: string[]) =>
    line.caisson(['run', '--template', 'base', '--net', net, ...more, '--', 'sh', '-c', command], {
      env: { CAISSON_ALLOW_PRIVATE: target },
    })

  test('what was refused is said at the end, and listed with the rule that would allow it', async () => {
    const ran = await run('allow:a.example', `curl -s http://${target}/ http://203.0.113.9/; true`)
    expect(ran.stdout).toContain('NETWORK_DENIED')
    expect(ran.stderr).toMatch(/^caisson: the network was refused 2 times; `caisson why e[a-z0-9]+`/m)
    const id = /why (e[a-z0-9]+)/.exec(ran.stderr)?.[1] ?? ''
    const told = JSON.parse((await line.caisson(['why', '--json', id])).stdout)
    expect(told).toMatchObject([
      { target, times: 1, rule: 'mode allow', wouldAllow: target },
      { target: '203.0.113.9:80', rule: expect.stringMatching(/^reserved /), wouldAllow: null },
    ])
    expect(JSON.parse((await line.caisson(['why', '--json', '--last'])).stdout)).toEqual(told)
    // What it says is what has to be said.
    expect((await run(`allow:${told[0].wouldAllow}`, `curl -s http://${target}/`)).stdout).toBe('hello')
  })

  test('what a run has reached is printed as the least rules that allow it, and nothing else', async () => {
    const rules = join(line.work, 'rules.json')
    await writeFile(rules, JSON.stringify({ mode: 'open', allow: [`${address}/32`] }))
    const command = `curl -s http://${target}/ http://${target}/again http://${address}:1/ http://10.0.0.1/; true`
    expect((await run(rules, command)).stdout).toContain('hellohello')
    const said = (await line.caisson(['why', '--learn', '--last'])).stdout
    expect(JSON.parse(said)).toEqual({ mode: 'allow', allow: [target] })
    await writeFile(rules, said)
    expect((await run(rules, `curl -s http://${target}/`)).stdout).toBe('hello')
  })

  test('a run that learns reaches no private address, and prints its rules in the end', async () => {
    const ran = await run('learn', `curl -s http://${target}/; true`)
    expect(ran.stdout).toContain('"rule":"mode open"')
    expect(ran.stderr).toMatch(/`caisson why --learn e[a-z0-9]+` prints them again\):\n\{\n {2}"mode": "none"\n\}/)
    const document = JSON.parse((await run('learn', 'true', '--json')).stdout)
    expect(document.network).toEqual({ denied: 0, learned: { mode: 'none' } })
  })

  test('a sandbox that nobody knows, and none that is named, are errors', async () => {
    expect(await line.caisson(['why', 'eaaaaaaaaaaaaaaaaaaa'])).toMatchObject({
      exitCode: 125,
      stderr: expect.stringContaining('NOT_FOUND'),
    })
    expect(await line.caisson(['why'])).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('BAD_REQUEST') })
    expect(await line.caisson(['why', 'ix', '--last'])).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('BAD_REQUEST') })
  })
})
