import { expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { egressOf } from './egress.ts'
import { Registries } from './registries.ts'

const signal = unending()

test('hosts and ports of the URLs that clients name, each once; a client that is not there names none', async () => {
  let asked = 0
  const registries = new Registries({
    one: async () => {
      asked += 1
      return "'https://Mirror.example/simple/', https://mirror.example/other http://127.0.0.1:8081/npm/\nsparse+https://index.example./"
    },
    two: async () =>
      'deb [signed-by=/k] http://deb.example/debian stable main\nfile:///srv/mirror https://user:secret@private.example:8443',
    odd: async () => 'direct off https:// https://[::1]:4/ https://a_b.example/',
    gone: () => Promise.reject(new Error('ENOENT')),
  })
  const hosts = await registries.hosts(signal)
  expect(hosts.map(({ host, port }) => `${host}:${port}`)).toEqual([
    'mirror.example:443',
    '127.0.0.1:8081',
    'index.example:443',
    'deb.example:80',
    'private.example:8443',
  ])
  expect(await registries.hosts(signal)).toEqual(hosts)
  expect(asked).toBe(1)
})

test('the clients of this machine are asked, and whatever they say makes rules', async () => {
  const registries = new Registries()
  const egress = await egressOf('allow:registries,extra.example', () => registries.hosts(signal))
  expect(egress.policy.allow.map(({ text }) => text)).toEqual([
    ...egress.configured.map(({ host, port }) => `${host}:${port}`),
    'extra.example',
  ])
  // This file runs under npm's own runtime: where npm is, it knows a registry.
  expect(egress.configured.length).toBeGreaterThan(0)
})
