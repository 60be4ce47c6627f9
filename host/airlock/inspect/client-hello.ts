/** The plaintext part of the first TLS message (RFC 8446, 4.1.2). */
export interface ClientHello {
  /** Lower case; null: there is no server name. */
  readonly serverName: string | null
  readonly protocols: readonly string[]
  /** It has an encrypted inner hello for another server (RFC 9849), or imitates one. */
  readonly isEncrypted: boolean
}

export type Read = ClientHello | 'more' | 'malformed'

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
const PROTOCOLS = 16
const ENCRYPTED_CLIENT_HELLO = 0xfe0d
const RECORD_HEAD_BYTES = 5
const MAX_RECORD_BYTES = 16_384
/** Even with post-quantum key shares, real ones are below 4 KiB. */
const MAX_HELLO_BYTES = 16_384
/** Limit on the records that it spans. Some clients use a few; each further one costs time whenever another byte arrives. */
const MAX_RECORDS = 64

export function isTls(first: number): boolean {
  return first === HANDSHAKE
}

/** Parses the first bytes of a connection; `more`: incomplete. What counts as malformed here is also rejected by OpenSSL, or sent by nobody. */
export function readClientHello(bytes: Buffer): Read {
  const message = handshakeIn(bytes)
  if (typeof message === 'string') return message
  try {
    return helloOf(new Fields(message.subarray(4)))
  } catch (failure) {
    if (failure instanceof Malformed) return 'malformed'
    throw failure
  }
}

/** The message may span several records. */
function handshakeIn(bytes: Buffer): Buffer | 'more' | 'malformed' {
  const message = Buffer.alloc(bytes.length)
  let length = 0
  let records = 0
  for (let at = 0; at + RECORD_HEAD_BYTES <= bytes.length; records += 1) {
    const size = bytes.readUInt16BE(at + 3)
    const isOne = bytes[at] === HANDSHAKE && bytes[at + 1] === 3 && size > 0 && size <= MAX_RECORD_BYTES
    if (!isOne || records === MAX_RECORDS) return 'malformed'
    at += RECORD_HEAD_BYTES
    length += bytes.copy(message, length, at, at + size)
    at += size
    if (length < 4) continue
    if (message[0] !== CLIENT_HELLO) return 'malformed'
    const wanted = 4 + message.readUIntBE(1, 3)
    if (wanted > MAX_HELLO_BYTES) return 'malformed'
    if (length >= wanted) return message.subarray(0, wanted)
  }
  return length > MAX_HELLO_BYTES ? 'malformed' : 'more'
}

function helloOf(fields: Fields): ClientHello {
  // Skips version and random; session, cipher suites and compression follow.
  fields.skip(34)
  fields.block(1)
  fields.block(2)
  fields.block(1)
  let serverName: string | null = null
  let protocols: string[] = []
  let isEncrypted = false
  const seen = new Set<number>()
  const extensions = fields.isAtEnd ? new Fields(Buffer.alloc(0)) : fields.block(2)
  while (!extensions.isAtEnd) {
    const kind = extensions.number(2)
    const content = extensions.block(2)
    if (seen.has(kind)) throw new Malformed()
    seen.add(kind)
    if (kind === SERVER_NAME) serverName = nameIn(content)
    if (kind === PROTOCOLS) protocols = protocolsIn(content)
    if (kind === ENCRYPTED_CLIENT_HELLO) isEncrypted = true
  }
  return { serverName, protocols, isEncrypted }
}

/** Exactly one name: given two, different parsers could choose differently. */
function nameIn(content: Fields): string {
  const list = content.block(2)
  if (list.number(1) !== HOST_NAME) throw new Malformed()
  const name = list.block(2).text()
  if (!list.isAtEnd || !content.isAtEnd || name === '') throw new Malformed()
  return name.toLowerCase()
}

function protocolsIn(content: Fields): string[] {
  const protocols: string[] = []
  const list = content.block(2)
  while (!list.isAtEnd) protocols.push(list.block(1).text())
  return protocols
}

class Malformed extends Error {}

class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  skip(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new Malformed()
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  number(length: number): number {
    return this.skip(length).readUIntBE(0, length)
  }

  /** A block with a length prefix of this many bytes. */
  block(lengthBytes: number): Fields {
    return new Fields(this.skip(this.number(lengthBytes)))
  }

  text(): string {
    return this.#bytes.toString('latin1')
  }
}
