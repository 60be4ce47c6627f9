import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SpecDaemon } from './daemon.ts'
import { addressed, WireClient, type WireSandbox } from './wire-client.ts'

/** Keys, ids, tokens and signatures of somebody else, of nobody, and of the past. */
describe('credentials that open nothing', () => {
  let daemon: SpecDaemon
  let client: WireClient
  let other: WireSandbox
  let mine: WireSandbox
  let strangerKey: string

  beforeAll(async () => {
    daemon = await SpecDaemon.open()
    client = new WireClient(daemon.url, daemon.key)
    other = await client.create()
    mine = await client.create()
    await client.upload(other, 'theirs.txt', 'untouched')
    strangerKey = ((await client.control('POST', '/caisson/v1/keys', { owner: 'stranger' })) as { key: string }).key
  })

  afterAll(async () => {
    client?.[Symbol.dispose]()
    await daemon?.[Symbol.asyncDispose]()
  })

  const inside = addressed

  it('uses ids and keys that are not its own', async () => {
    const { sandboxID } = other
    const calls: [string, string, object?][] = [
      ['GET', `/sandboxes/${sandboxID}`],
      ['DELETE', `/sandboxes/${sandboxID}`],
      ['POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 1 }],
      ['POST', `/sandboxes/${sandboxID}/pause`, {}],
      ['POST', `/sandboxes/${sandboxID}/connect`, { timeout: 1 }],
      ['POST', `/v2/sandboxes/${sandboxID}/connect`, {}],
      ['POST', `/sandboxes/${sandboxID}/resume`, { timeout: 1 }],
      ['POST', `/sandboxes/${sandboxID}/snapshots`, {}],
      ['POST', `/sandboxes/${sandboxID}/fork`, {}],
      ['PUT', `/sandboxes/${sandboxID}/network`, {}],
      ['GET', `/sandboxes/${sandboxID}/metrics`],
      ['GET', `/sandboxes/${sandboxID}/logs`],
      ['POST', `/sandboxes/${sandboxID}/refreshes`, { duration: 1 }],
    ]
    for (const [method, path, body] of calls) {
      const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
      const foreign = await fetch(daemon.url + path, { ...init, headers: { 'x-api-key': strangerKey } })
      const unknown = await fetch(daemon.url + path.replace(sandboxID, 'inobodynobodynobody0'), {
        ...init,
        headers: { 'x-api-key': strangerKey },
      })
      expect(foreign.status, `${method} ${path}`).toBe(404)
      const text = (await foreign.text()).replaceAll(sandboxID, 'ID')
      expect(text, 'not told apart from one that is not there').toBe((await unknown.text()).replaceAll('inobodynobodynobody0', 'ID'))
      for (const wrong of ['', 'e2b_', `${daemon.key}0`, daemon.key.slice(0, -1), daemon.key.toUpperCase(), 'x'.repeat(5000)]) {
        expect((await fetch(daemon.url + path, { ...init, headers: { 'x-api-key': wrong } })).status).toBe(401)
      }
    }
    const listed = (await (await fetch(`${daemon.url}/v2/sandboxes`, { headers: { 'x-api-key': strangerKey } })).json()) as unknown[]
    expect(listed).toEqual([])
    expect((await fetch(`${daemon.url}/caisson/v1/keys`, { headers: { 'x-api-key': strangerKey } })).status).toBe(403)
  })

  it('uses tokens that are not for this sandbox: forged, of another, of one that is gone', async () => {
    const gone = await client.create()
    const replayed = gone.envdAccessToken
    await client.control('DELETE', `/sandboxes/${gone.sandboxID}`)
    for (const forged of [
      mine.envdAccessToken,
      replayed,
      '',
      'x',
      `${other.envdAccessToken}x`,
      other.envdAccessToken.slice(1),
      'x'.repeat(10_000),
    ]) {
      const headers = { ...inside(other), 'x-access-token': forged }
      const calls: [string, RequestInit][] = [
        ['/files?path=theirs.txt', { headers }],
        [
          '/files?path=theirs.txt',
          { method: 'POST', headers: { ...headers, 'content-type': 'application/octet-stream' }, body: 'overwritten' },
        ],
        ['/process.Process/List', { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: '{}' }],
        ['/envs', { headers }],
        ['/metrics', { headers }],
        [
          '/execute',
          {
            method: 'POST',
            headers: { ...headers, 'e2b-sandbox-port': '49999', 'content-type': 'application/json' },
            body: '{"code":"1"}',
          },
        ],
      ]
      for (const [path, init] of calls) {
        const answer = await fetch(daemon.url + path, init)
        const text = await answer.text()
        expect(
          answer.status === 401 || text.includes('unauthenticated'),
          `${path} with "${forged.slice(0, 20)}": ${answer.status} ${text}`,
        ).toBe(true)
      }
    }
    for (const path of ['/init', '/freeze', '/unfreeze', '/collapse', '/fsfreeze', '/fsthaw', '/upgrade']) {
      expect((await fetch(daemon.url + path, { method: 'POST', headers: inside(mine), body: '{}' })).status, path).toBe(404)
    }
  })
})
