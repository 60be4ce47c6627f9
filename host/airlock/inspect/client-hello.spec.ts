import { expect, test } from 'vitest'
import { readClientHello } from './client-hello.ts'

const block = (bytes: Buffer, lengthBytes: number): Buffer => {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(bytes.length, 0, lengthBytes)
  return Buffer.concat([length, bytes])
}
const name = block(Buffer.concat([Buffer.from([0]), block(Buffer.from('good.example'), 2)]), 2)
const body = Buffer.concat([
  Buffer.alloc(34),
  block(Buffer.alloc(0), 1),
  block(Buffer.from([0x13, 1]), 2),
  block(Buffer.from([0]), 1),
  block(Buffer.concat([Buffer.from([0, 0]), block(name, 2)]), 2),
])
const message = Buffer.concat([Buffer.from([1]), block(body, 3)])

/** Records of so many bytes each. */
function inRecords(bytes: Buffer, size: number): Buffer {
  const parts = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))
  return Buffer.concat(parts.map((part) => Buffer.concat([Buffer.from([22, 3, 1]), block(part, 2)])))
}

test('a hello is read in one record or spread over some', () => {
  for (const size of [1000, 20, 2]) expect(readClientHello(inRecords(message, size))).toMatchObject({ serverName: 'good.example' })
  expect(readClientHello(inRecords(message, 2).subarray(0, -1))).toBe('more')
})

test('one that is spread over thousands, to be read again with each of them, is none', () => {
  const long = Buffer.concat([Buffer.from([1]), block(Buffer.alloc(16_000), 3)])
  expect(readClientHello(inRecords(long, 1).subarray(0, 32 * 1024))).toBe('malformed')
})
