import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openProfiles } from '../../host/main.ts'
import { SpecHost } from '../walls/home.ts'

// `function` (Modal) and `account` (AWS sandbox accounts): what of them can be had today, and that the rest is refused by name.

let host: SpecHost
beforeAll(async () => {
  host = await SpecHost.open()
})
afterAll(() => host[Symbol.asyncDispose]())

const signal = new AbortController().signal
const plan = (request: object) => host.door.plan(request, signal)

describe('what can be had', () => {
  test('function: gVisor, an open network, five minutes', async () => {
    const { wall, network, limits } = await plan({ profile: 'function' })
    expect({ wall, network, limits }).toMatchObject({
      wall: 'gvisor',
      network: { mode: 'gate', policy: { mode: 'open' } },
      limits: { wallMs: 300_000, onHit: 'end' },
    })
  })

  test('account: it is found again, reaches package registries, and no other host', async () => {
    const { disk, network } = await plan({ profile: 'account', workspace: 'team' })
    expect(disk).toMatchObject({ returns: true, image: expect.stringMatching(/workspaces\/operator\/team\.img$/) })
    expect(network).toMatchObject({ mode: 'gate', policy: { mode: 'allow' } })
  })
})

describe('what cannot', () => {
  test.each([
    ['gpu', 'A100', 'no sandbox has a GPU'],
    ['image', 'python:3.13', 'not from images'],
    ['scale', { to: 10 }, 'nothing starts and ends sandboxes'],
    ['schedule', '* * * * *', 'nothing starts sandboxes by the clock'],
    ['budget', 50, 'nothing counts money'],
    ['regions', ['eu-central-1'], 'one machine'],
    ['services', ['s3'], 'no services of a cloud'],
  ])('%s is refused by name, in a request and in a profile', async (field, value, why) => {
    const said = new RegExp(`${field}: not there yet: .*${why}`)
    await expect(plan({ profile: 'function', [field]: value })).rejects.toMatchObject({ code: 'BAD_REQUEST', message: said })
    const path = join(host.home, 'profiles', 'own.json')
    await writeFile(path, JSON.stringify({ extends: 'account', [field]: value }))
    await expect(openProfiles({ home: host.home }).check(path, signal)).rejects.toMatchObject({ code: 'PROFILE_INVALID', message: said })
    await writeFile(path, JSON.stringify({ extends: 'account' }))
  })
})
