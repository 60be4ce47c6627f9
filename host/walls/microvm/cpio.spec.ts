import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { cpio } from './cpio.ts'

const READ = `
import sys
data, at = sys.stdin.buffer.read(), 0
while True:
    field = lambda n: int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16)
    name = data[at + 110:at + 109 + field(11)].decode()
    body = (at + 110 + field(11) + 3) // 4 * 4
    if name == 'TRAILER!!!': break
    print(name, oct(field(1)), data[body:body + field(6)].decode())
    at = (body + field(6) + 3) // 4 * 4
`

test('what is in an archive comes out of it, by the rules of its form', () => {
  const archive = cpio([
    { path: 'init', content: Buffer.from('hello') },
    { path: 'modules' },
    { path: 'modules/order', content: Buffer.from('ab\n') },
  ])
  const told = execFileSync('python3', ['-c', READ], { input: archive, encoding: 'utf8' })
  expect(told).toBe('init 0o100755 hello\nmodules 0o40755 \nmodules/order 0o100755 ab\n\n')
})
