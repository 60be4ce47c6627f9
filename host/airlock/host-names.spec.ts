import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { unending } from '../lifetimes.ts'
import { HostNames } from './host-names.ts'

const never = unending()
const TYPE_A = 1

/** A name server that answers 192.0.2.7 for all names, or what `answer` says: null, nothing; a number, that code. */
class NameServer {
  readonly asked: string[] = []
  answer: (name: string) => number | null = () => 0
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (message, { port, address }) => {
      const name = nameIn(message)
      this.asked.push(name)
      const code = this.answer(name)
      if (code !== null) socket.send(answered(message, code), port, address)
    })
  }

  static async open(): Promise<NameServer> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return new NameServer(socket)
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`
  }

  close(): void {
    this.#socket.close()
  }
}

function nameIn(message: Buffer): string {
  const labels: string[] = []
  for (let at = 12; (message[at] ?? 0) > 0; at += (message[at] ?? 0) + 1)
    labels.push(message.toString('latin1', at + 1, at + 1 + (message[at] ?? 0)))
  return labels.join('.')
}

function answered(question: Buffer, code: number): Buffer {
  const end = question.indexOf(0, 12) + 5
  const isA = question.readUInt16BE(end - 4) === TYPE_A
  const head = Buffer.from(question.subarray(0, 12))
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(isA && code === 0 ? 1 : 0, 6)
  head.fill(0, 8)
  const record = Buffer.from([0xc0, 12, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7])
  return Buffer.concat([head, question.subarray(12, end), ...(isA && code === 0 ? [record] : [])])
}

let server: NameServer
let folder: string
let names: HostNames
beforeEach(async () => {
  server = await NameServer.open()
  folder = await mkdtemp(join(tmpdir(), 'names-'))
  await writeFile(
    join(folder, 'hosts'),
    '# none\n192.0.2.1 Here.example also.example # here.example\n2001:db8::1\there.example.\n\n192.0.2.2\n',
  )
  names = new HostNames({ hosts: join(folder, 'hosts'), servers: [server.address] })
})
afterEach(async () => {
  server.close()
  await rm(folder, { recursive: true })
})

test('the hosts file comes first, and is read again when it has changed; then the name servers, for the name as it stands', async () => {
  expect(await names.addresses('here.example', 'a', never)).toEqual(['192.0.2.1', '2001:db8::1'])
  expect(await names.addresses('also.example', 'a', never)).toEqual(['192.0.2.1'])
  expect(server.asked).toEqual([])
  expect(await names.addresses('intranet', 'a', never)).toEqual(['192.0.2.7'])
  expect(new Set(server.asked)).toEqual(new Set(['intranet']))
  await writeFile(join(folder, 'hosts'), '192.0.2.99 new.example and.more.of.them\n')
  expect(await names.addresses('new.example', 'a', never)).toEqual(['192.0.2.99'])
})

test('what is asked for at once is asked once, and remembered; what is none, or comes too late, has no address', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => names.addresses('one.example', 'a', never)))
  expect(new Set(all.flat())).toEqual(new Set(['192.0.2.7']))
  expect(await names.addresses('one.example', 'b', never)).toEqual(['192.0.2.7'])
  // Its address of each version.
  expect(server.asked).toEqual(['one.example', 'one.example'])
  server.answer = () => 3
  expect(await names.addresses('none.example', 'a', never)).toEqual([])
  server.answer = () => null
  expect(await names.addresses('late.example', 'a', never)).toEqual([])
  expect(await names.addresses('two.example', 'a', AbortSignal.abort())).toEqual([])
})

test('a sandbox that asks for many names at once waits for itself, and nobody else does', async () => {
  server.answer = (name) => (name.startsWith('slow') ? null : 0)
  const flood = Array.from({ length: 1000 }, (_, index) => names.addresses(`slow${index}.example`, 'greedy', never))
  const others = await Promise.all(
    Array.from({ length: 40 }, (_, index) => names.addresses(`fast${index}.example`, `other${index}`, never)),
  )
  expect(others.every(([address]) => address === '192.0.2.7')).toBe(true)
  // Far from all of the flood's has been asked by then: it has its share, and no more.
  expect(new Set(server.asked.filter((name) => name.startsWith('slow'))).size).toBeLessThanOrEqual(16)
  expect((await Promise.all(flood)).flat()).toEqual([])
})

test('this machine’s own configuration serves, too', async () => {
  const addresses = await new HostNames().addresses('localhost', 'a', never)
  expect(addresses).not.toEqual([])
  expect(addresses.every((address) => address === '127.0.0.1' || address === '::1')).toBe(true)
})
