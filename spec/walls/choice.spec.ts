import { afterAll, beforeAll, expect, test } from 'vitest'
import { ControlClient } from '../api/control-client.ts'
import { SpecDaemon } from '../api/daemon.ts'
import { onWall } from './every-wall.ts'

let daemon: SpecDaemon
let operator: ControlClient
beforeAll(async () => {
  daemon = await SpecDaemon.open()
  operator = new ControlClient(daemon.url, daemon.key)
})
afterAll(async () => {
  await daemon[Symbol.asyncDispose]()
})

const wallOf = async (id: string) => (await operator.ask('GET', `/caisson/v1/sandboxes/${id}`)).body.wall

test('a wall that is not known is named, with those there are', async () => {
  const refused = { status: 400, body: { error_code: 'wall_unknown', message: expect.stringContaining('container, gvisor') } }
  expect(await operator.ask('POST', '/caisson/v1/sandboxes', { template: 'base', wall: 'paper' })).toMatchObject(refused)
  const metadata = { 'caisson.wall': 'paper' }
  expect(await operator.ask('POST', '/v2/sandboxes', { templateID: 'base', metadata })).toMatchObject(refused)
})

test('an engine that is not there is named, with the command that mends it', async () => {
  await using lacking = await SpecDaemon.open({ env: { CAISSON_RUNSC: '/no/such/runsc' } })
  const client = new ControlClient(lacking.url, lacking.key)
  const answer = await client.ask('POST', '/caisson/v1/sandboxes', { template: 'base', wall: 'gvisor' })
  expect(answer).toMatchObject({
    status: 503,
    body: { error_code: 'wall_unavailable', message: expect.stringContaining('/no/such/runsc') },
  })
  expect(JSON.stringify(answer.body)).toContain('apt-get install -y runsc')
})

onWall('gvisor', () => {
  test('a client of E2B’s names it by a header or by metadata, and gets it', async () => {
    const byMetadata = (await operator.ask('POST', '/v2/sandboxes', { templateID: 'base', metadata: { 'caisson.wall': 'gvisor' } })).body
    expect(await wallOf(byMetadata.sandboxID)).toBe('gvisor')
    const response = await daemon.fetch('/v2/sandboxes', {
      method: 'POST',
      headers: { 'x-api-key': daemon.key, 'content-type': 'application/json', 'x-caisson-wall': 'gvisor' },
      body: JSON.stringify({ templateID: 'base' }),
    })
    const byHeader = (await response.json()) as { sandboxID: string }
    expect(await wallOf(byHeader.sandboxID)).toBe('gvisor')
    for (const { sandboxID } of [byMetadata, byHeader]) await operator.ask('DELETE', `/sandboxes/${sandboxID}`)
  })

  test('a key with a least wall gets it unasked, and is refused a weaker one', async () => {
    const { key } = (await operator.ask('POST', '/caisson/v1/keys', { owner: 'mallory', leastWall: 'gvisor' })).body
    const mallory = new ControlClient(daemon.url, key)
    const made = (await mallory.ask('POST', '/v2/sandboxes', { templateID: 'base', timeout: 60 })).body
    expect((await mallory.ask('GET', `/caisson/v1/sandboxes/${made.sandboxID}`)).body.wall).toBe('gvisor')
    const weaker = await mallory.ask('POST', '/caisson/v1/sandboxes', { template: 'base', wall: 'container' })
    expect(weaker).toMatchObject({ status: 403, body: { error_code: 'wall_too_weak', message: expect.stringContaining('gvisor') } })
    await mallory.ask('DELETE', `/sandboxes/${made.sandboxID}`)
  })

  test('it is paused and goes on with its processes, outlives the daemon, and is taken over', async () => {
    await using first = await SpecDaemon.open()
    const client = new ControlClient(first.url, first.key)
    const made = (await client.ask('POST', '/caisson/v1/sandboxes', { template: 'base', wall: 'gvisor', timeoutMs: 600_000 })).body
    expect(await client.ask('POST', `/sandboxes/${made.sandboxID}/pause`, {})).toMatchObject({ status: 204 })
    expect((await client.ask('GET', `/sandboxes/${made.sandboxID}`)).body.state).toBe('paused')
    expect((await client.ask('POST', `/sandboxes/${made.sandboxID}/connect`, { timeout: 600 })).status).toBeLessThan(300)
    await first.stop('SIGKILL')
    await using second = await first.again()
    const again = new ControlClient(second.url, second.key)
    expect((await again.ask('GET', `/caisson/v1/sandboxes/${made.sandboxID}`)).body).toMatchObject({ wall: 'gvisor' })
    expect(await again.ask('DELETE', `/sandboxes/${made.sandboxID}`)).toMatchObject({ status: 204 })
  })

  test('its disk is shown to no other kernel: not when it boots again, and not to a fork, whatever its profile likes best by then', async () => {
    await using first = await SpecDaemon.open()
    const client = new ControlClient(first.url, first.key)
    // The profile would take a container where there is no gVisor.
    const asked = { profile: 'code-interpreter', template: 'base', timeoutMs: 600_000 }
    const { sandboxID: id } = (await client.ask('POST', '/caisson/v1/sandboxes', asked)).body
    expect((await client.ask('GET', `/caisson/v1/sandboxes/${id}`)).body).toMatchObject({ wall: 'gvisor' })
    expect(await client.ask('POST', `/sandboxes/${id}/pause`, { memory: false })).toMatchObject({ status: 204 })
    await first.stop()
    await using second = await first.again({ env: { CAISSON_RUNSC: '/no/such/runsc' } })
    const again = new ControlClient(second.url, second.key)
    const resumed = await again.ask('POST', `/sandboxes/${id}/connect`, { timeout: 600 })
    expect(resumed).toMatchObject({ status: 503, body: { error_code: 'wall_unavailable' } })
    const forks = await again.ask('POST', `/sandboxes/${id}/fork`, { timeout: 60 })
    expect(forks.body).toMatchObject([{ error: { error_code: 'wall_unavailable' } }])
    const { key } = (await again.ask('POST', '/caisson/v1/keys', { owner: 'operator', leastWall: 'microvm' })).body
    const careful = await new ControlClient(second.url, key).ask('POST', `/sandboxes/${id}/fork`, { timeout: 60 })
    expect(careful).toMatchObject({ status: 403, body: { error_code: 'wall_too_weak' } })
    expect((await again.ask('GET', `/sandboxes/${id}`)).body).toMatchObject({ state: 'paused' })
    expect(await again.ask('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 204 })
  })
})
