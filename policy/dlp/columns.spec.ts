import { describe, expect, test } from 'vitest'
import { Columns } from './columns.ts'

const SECRET = 'abcdefghijklmnopqrstuvwxyz0123456789'
const pieces = (length: number): string[] => SECRET.match(new RegExp(`.{1,${length}}`, 'g')) ?? []

/** All that was put together while these were sent. */
function joined(messages: readonly string[]): string[] {
  const columns = new Columns()
  return messages.flatMap((message) => columns.add(message))
}

describe('what is sent in pieces is put together', () => {
  const frames: Record<string, (piece: string, index: number) => string> = {
    'the same words around it': (piece) => `{"part":"${piece}"}`,
    'a number beside it': (piece, index) => `{"seq":${index},"part":"${piece}","of":12}`,
    'a path': (piece) => `GET /collect/${piece} `,
    'a parameter': (piece, index) => `/pixel.gif?n=${index}&d=${piece}`,
  }
  test.each(Object.entries(frames))('%s', (_, frame) => {
    for (const length of [3, 4, 7]) {
      const all = joined(pieces(length).map(frame))
      expect(all.some((text) => text.includes(SECRET))).toBe(true)
    }
  })

  test('among other messages, and when pieces are alike', () => {
    const messages = pieces(4).flatMap((piece, index) => [`{"part":"${piece}"}`, `ping ${index} of many more words than that`])
    expect(joined(messages).some((text) => text.includes(SECRET))).toBe(true)
    const twice = ['ab12', 'ab12', 'cd34', 'cd34'].map((piece, index) => `${index}: ${piece}`)
    expect(joined([...twice, '5: ef56']).at(-1)).toBe('ab12ab12cd34cd34ef56')
  })
})

test('a message that was not sent is no part of it, and neither is one that is sent again', () => {
  const columns = new Columns()
  const [first = '', second = '', third = ''] = pieces(10)
  columns.add(`part ${first}`)
  columns.add(`part ${second}`)
  columns.add('part of-something-else')
  columns.undo()
  columns.add(`part ${second}`)
  expect(columns.add(`part ${third}`)).toEqual([SECRET.slice(0, 30)])
})

test('what is remembered is bounded, whatever is sent', () => {
  const columns = new Columns()
  for (let index = 0; index < 2000; index += 1) {
    const all = columns.add(Array.from({ length: index % 60 }, () => `${index}${'x'.repeat(50)}`).join(' '))
    expect(all.length).toBeLessThanOrEqual(48)
    expect(Math.max(0, ...all.map((text) => text.length))).toBeLessThanOrEqual(1024)
  }
})
