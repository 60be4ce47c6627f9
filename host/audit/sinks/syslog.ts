import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { createRequire } from 'node:module'
import { isIPv6, type Socket } from 'node:net'
import { z } from 'zod'
import { orAborted } from '../../lifetimes.ts'
import type { Sent, Sink, SinkHouse, SinkKind } from './sink.ts'
import { framed, message } from './syslog-message.ts'
import { type Address, connected } from './touching.ts'

/** `unix:/dev/log`, `tcp://HOST:PORT`, `udp://HOST:PORT`. */
const To = z.string().refine((text) => placeOf(text) !== undefined, 'is to be unix:/PATH, tcp://HOST:PORT or udp://HOST:PORT')
const Options = z.strictObject({ to: To })

/** What fits in a UDP datagram with the headers below it; a unix socket takes slightly more. */
const MAX_DATAGRAM_BYTES = 60_000

/** RFC 5424 messages: length-prefixed over TCP and unix streams (RFC 6587), one per datagram over UDP (RFC 5426) and unix datagrams. */
export const syslog: SinkKind<z.infer<typeof Options>> = {
  options: Options,
  open({ to }, house) {
    const place = placeOf(to) as Place
    if (place.by === 'unix') return new LocalSocket(to, place, house)
    return place.by === 'tcp' ? new Stream(to, place) : new Datagrams(to, place)
  },
}

type Place = { readonly by: 'unix'; readonly path: string } | { readonly by: 'tcp' | 'udp'; readonly host: string; readonly port: number }

function placeOf(text: string): Place | undefined {
  const [, path] = /^unix:(\/.+)$/.exec(text) ?? []
  if (path !== undefined) return { by: 'unix', path }
  const [, by, named, bracketed, port] = /^(tcp|udp):\/\/(?:([^\s[\]/@:]+)|\[([0-9a-f:.]+)\]):(\d{1,5})$/i.exec(text) ?? []
  const host = named ?? bracketed
  if ((by !== 'tcp' && by !== 'udp') || host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  return { by, host, port: Number(port) }
}

/** One connection, reused until it breaks. */
class Stream implements Sink {
  readonly place: string
  readonly #address: Address
  #socket: Socket | undefined

  constructor(place: string, address: Address) {
    this.place = place
    this.#address = address
  }

  async reach(signal: AbortSignal): Promise<void> {
    await this.#connection(signal)
  }

  async send(records: readonly Sent[], signal: AbortSignal): Promise<void> {
    const socket = await this.#connection(signal)
    try {
      await orAborted(written(socket, Buffer.concat(records.map((record) => framed(message(record))))), signal)
    } catch (failure) {
      // After a partial message, the receiver would read the next one as its rest.
      socket.destroy()
      throw failure
    }
  }

  close(): void {
    this.#socket?.end().unref()
  }

  async #connection(signal: AbortSignal): Promise<Socket> {
    if (this.#socket?.writable === true) return this.#socket
    const socket = await connected(this.#address, signal)
    // The next write reports the error. Incoming data is discarded.
    socket.on('error', () => undefined).on('end', () => socket.destroy())
    socket.setKeepAlive(true).resume()
    this.#socket = socket
    return socket
  }
}

function written(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(new Error('the connection was closed'))
    socket.once('close', closed)
    socket.write(bytes, (failure) => {
      socket.off('close', closed)
      if (failure) reject(failure)
      else resolve()
    })
  })
}

class Datagrams implements Sink {
  readonly place: string
  readonly #to: { readonly host: string; readonly port: number }

  constructor(place: string, to: { readonly host: string; readonly port: number }) {
    this.place = place
    this.#to = to
  }

  /** UDP has no acknowledgement, so only the name can be checked. */
  async reach(): Promise<void> {
    await lookup(this.#to.host)
  }

  async send(records: readonly Sent[]): Promise<void> {
    const { address } = await lookup(this.#to.host)
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    try {
      for (const record of records) {
        await new Promise<void>((resolve, reject) => {
          socket.send(message(record, MAX_DATAGRAM_BYTES), this.#to.port, address, (failure) => (failure ? reject(failure) : resolve()))
        })
      }
    } finally {
      socket.close()
    }
  }
}

interface Recorder {
  datagram(path: string, text: string): void
}

/** The machine's own syslog socket. Most listen for datagrams, which Node cannot send; some for connections. */
class LocalSocket implements Sink {
  readonly place: string
  readonly #path: string
  readonly #recorder: Recorder
  readonly #stream: Stream
  #takes: 'datagrams' | 'connections' | undefined

  constructor(place: string, { path }: { path: string }, { recorder }: SinkHouse) {
    this.place = place
    this.#path = path
    this.#recorder = createRequire(import.meta.url)(recorder) as Recorder
    this.#stream = new Stream(place, { path })
  }

  async reach(signal: AbortSignal): Promise<void> {
    try {
      this.#recorder.datagram(this.#path, '')
      this.#takes = 'datagrams'
    } catch (failure) {
      if (!/wrong type for socket/i.test(String(failure))) throw failure
      await this.#stream.reach(signal)
      this.#takes = 'connections'
    }
  }

  async send(records: readonly Sent[], signal: AbortSignal): Promise<void> {
    if (this.#takes === undefined) await this.reach(signal)
    if (this.#takes === 'connections') return await this.#stream.send(records, signal)
    for (const record of records) this.#recorder.datagram(this.#path, message(record, MAX_DATAGRAM_BYTES).toString())
  }

  close(): void {
    this.#stream.close()
  }
}
