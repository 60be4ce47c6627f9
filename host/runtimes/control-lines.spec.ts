import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { MAX_RUNTIME_MESSAGE_BYTES } from '@caisson/wire'
import { expect, test } from 'vitest'
import { Begun, ControlLines } from './control-lines.ts'

const read = (...messages: unknown[]) => {
  const text = messages.map((message) => `${typeof message === 'string' ? message : JSON.stringify(message)}\n`).join('')
  return [...new ControlLines().push(Buffer.from(text))].map(({ message }) => message)
}
const result = (exact: unknown, forms = {}) => ({ type: 'result', id: 1, result: { isMainResult: true, ...forms }, exact })

test('messages are put together from pieces', () => {
  const lines = new ControlLines()
  const text = '{"type":"ready"}\n{"type":"end","id":1,"executionCount":1}\n'
  const heard = [...text].flatMap((letter) => [...lines.push(Buffer.from(letter))])
  expect(heard.map(({ message }) => message.type)).toEqual(['ready', 'end'])
})

test('what is JSON of a result is kept as the text it was, and read', () => {
  const exact = { json: '[1.0, 1152921504606846977]', data: '{"a": [1.0]}', chart: '{"type": "line"}', extra: '{"application/x": null}' }
  const parsed = { json: [1, 2 ** 60], data: { a: [1] }, chart: { type: 'line' }, extra: { 'application/x': null } }
  expect(read(result(exact))).toEqual([{ ...result(exact), result: { isMainResult: true, ...parsed } }])
})

test.each([
  ['is not JSON', result({ json: '[1' })],
  ['has more than one line', result({ json: '[1,\n2]' })],
  ['is deeper than anybody reads', result({ json: '['.repeat(101) + ']'.repeat(101) })],
  ['is no table', result({ data: '{"a": 1}' })],
  ['is no chart', result({ chart: '[]' })],
  ['has no name', result({ other: '1' })],
  ['is not text', result({ json: [1] })],
  ['did not come as text', result(undefined, { json: [1] })],
])('a result is refused whose JSON %s', (_what, message) => {
  expect(() => read(message)).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
})

test('a message that is not UTF-8 is refused', () => {
  const bytes = Buffer.from('{"type":"failed","code":"FILE_MISSING","message":"\xff"}\n', 'latin1')
  expect(() => [...new ControlLines().push(bytes)]).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
})

test.each([
  ['that is not JSON', '{"type":'],
  ['of no known type', { type: 'surprise' }],
  ['with more than it may have', { type: 'ready', more: 1 }],
  ['without its number', { type: 'end', executionCount: 1 }],
])('a message %s is refused', (_what, message) => {
  expect(() => read(message)).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
})

test('of messages that do not end only so much is kept, of all that belong together; what has ended, or whose runtime has, makes room', () => {
  const begun = new Begun()
  const most = Buffer.alloc(MAX_RUNTIME_MESSAGE_BYTES, 'x')
  const push = (lines: ControlLines, bytes: Buffer) => [...lines.push(bytes)].length
  const [one, two, three] = [new ControlLines(begun), new ControlLines(begun), new ControlLines(begun)]
  for (const lines of [one, two]) expect(push(lines, most)).toBe(0)
  expect(() => push(three, Buffer.from('{'))).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
  for (const lines of [one, three]) lines.end()
  const four = new ControlLines(begun)
  const text = Buffer.from('{"type":"ready"}\n')
  expect(push(four, Buffer.concat([text, text, most.subarray(text.length)]))).toBe(2)
  expect(begun.bytes).toBe(2 * most.length - text.length)
  for (const lines of [two, four]) lines.end()
  expect(begun.bytes).toBe(0)
  expect(push(new ControlLines(), text)).toBe(1)
})

test('of one owner so much is kept, of all its sandboxes together: beyond it, what has more than its part ends, and nothing else', () => {
  const most = Buffer.alloc(MAX_RUNTIME_MESSAGE_BYTES, 'x')
  const push = (lines: ControlLines, bytes: Buffer) => [...lines.push(bytes)].length
  const two = (begun: Begun) => [new ControlLines(begun), new ControlLines(begun)]
  // Nobody's, at first.
  const begun = new Begun()
  const [first, second] = two(begun) as [ControlLines, ControlLines]
  const [innocent, other] = [new ControlLines(new Begun('one')), new ControlLines(new Begun('other'))]
  const held = Array.from({ length: 4 }, () => two(new Begun('one'))).flat()
  try {
    for (const lines of [...held, first, other]) expect(push(lines, most)).toBe(0)
    begun.belongTo('one')
    expect(() => push(second, most)).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
    expect(push(innocent, most.subarray(0, most.length / 4))).toBe(0)
    second.end()
    for (const lines of held) lines.end()
    expect(push(second, most)).toBe(0)
  } finally {
    for (const lines of [...held, first, second, innocent, other]) lines.end()
  }
  expect(begun.bytes).toBe(0)
})

test('of a message that comes byte by byte no more is kept than of one that comes at once', () => {
  const lines = new ControlLines()
  const before = settledHeap()
  for (let left = 500_000; left > 0; left -= 1) for (const _ of lines.push(Uint8Array.of(0x78)));
  expect(settledHeap() - before).toBeLessThan(8 * 500_000)
  expect(() => [...lines.push(Buffer.from('\n'))]).toThrow(expect.objectContaining({ code: 'WIRE_VIOLATION' }))
})

/** What is in use, in bytes, when nothing is that could be let go of. */
function settledHeap(): number {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
