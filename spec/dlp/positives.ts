import { deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import type { Detector } from '../../policy/dlp/detectors/family.ts'
import * as shelf from '../../policy/dlp/detectors/shelf.ts'

export const detectors: readonly Detector[] = Object.values(shelf).flatMap((family) => family.detectors)

/** Where values are found in real traffic. */
export const CONTEXTS: Readonly<Record<string, (value: string) => string>> = {
  alone: (value) => value,
  json: (value) => JSON.stringify({ id: 7, note: value, ok: true }),
  form: (value) => `user=anna&note=${value}&submit=1`.replaceAll(' ', '+'),
  log: (value) => `2026-03-01T10:00:00Z INFO worker-3 sent ${value} in 12 ms`,
  csv: (value) => `id,name,note\n1,Anna,${value}\n2,Ben,none\n`,
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

function base32(data: Buffer): string {
  let bits = ''
  for (const byte of data) bits += byte.toString(2).padStart(8, '0')
  return (bits.match(/.{1,5}/g) ?? []).map((group) => BASE32[Number.parseInt(group.padEnd(5, '0'), 2)]).join('')
}

function zipped(data: Buffer): Buffer {
  const packed = deflateRawSync(data)
  const head = Buffer.alloc(30)
  head.writeUInt32LE(0x04034b50, 0)
  head.writeUInt16LE(20, 4)
  head.writeUInt16LE(8, 8)
  head.writeUInt32LE(packed.length, 18)
  head.writeUInt32LE(data.length, 22)
  head.writeUInt16LE(8, 26)
  return Buffer.concat([head, bytes('data.txt'), packed])
}

const wrapped = (text: string, width: number): string => (text.match(new RegExp(`.{1,${width}}`, 'g')) ?? []).join('\r\n')

/** Ways to hide a text, the name of the layer that is to be found under each. */
export const ENCODINGS: Readonly<Record<string, (data: Buffer) => Buffer>> = {
  base64: (data) => bytes(data.toString('base64')),
  'base64, lines of 76': (data) => bytes(wrapped(data.toString('base64'), 76)),
  'base64 with something before it': (data) => bytes(`data=x${data.toString('base64')}`),
  base64url: (data) => bytes(data.toString('base64url')),
  hex: (data) => bytes(data.toString('hex')),
  'hex, large': (data) => bytes(data.toString('hex').toUpperCase()),
  base32: (data) => bytes(base32(data)),
  'percent, all of it': (data) => bytes([...data].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')),
  'percent, here and there': (data) =>
    bytes(
      [...data]
        .map((byte, at) => (at % 3 === 0 ? `%${byte.toString(16).toUpperCase().padStart(2, '0')}` : String.fromCharCode(byte)))
        .join(''),
    ),
  'JSON escapes': (data) => bytes(`{"a":"${[...data].map((byte) => `\\u00${byte.toString(16).padStart(2, '0')}`).join('')}"}`),
  'escapes of a programming language': (data) => bytes([...data].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')),
  gzip: (data) => gzipSync(data),
  zlib: (data) => deflateSync(data),
  zip: (data) => zipped(data),
  'gzip within a form': (data) =>
    Buffer.concat([bytes('--b\r\ncontent-disposition: form-data; name="f"\r\n\r\n'), gzipSync(data), bytes('\r\n--b--\r\n')]),
}

/** Two of them, one within the other. */
export const NESTED: readonly (readonly [outer: string, inner: string])[] = [
  ['base64', 'base64'],
  ['base64', 'gzip'],
  ['base64url', 'zlib'],
  ['hex', 'base64'],
  ['base64', 'hex'],
  ['percent, all of it', 'base64'],
  ['JSON escapes', 'base64'],
  ['gzip', 'base64'],
  ['gzip', 'gzip'],
  ['zip', 'base64'],
  ['base32', 'gzip'],
]
