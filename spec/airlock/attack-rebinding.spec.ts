import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { Canary, echo } from './servers.ts'

const code = python`
address = socket.getaddrinfo('turn.example', facts['port'], socket.AF_INET, socket.SOCK_STREAM)[0][4]
print('resolved')
def talk():
    one = socket.socket()
    one.settimeout(20)
    one.connect(address)
    return exchange(one)
attempt('first', talk)
attempt('second', talk)
`

/** A name server of the attacker's: what it says when the name is checked is not what it says the next time. */
test('a name that turns to another address after it was checked leads to the checked one, or nowhere', async () => {
  using checked = await Canary.open(echo)
  await using hosted = await Hosted.open(rules(['turn.example'], [`127.0.0.1:${checked.port}`]))
  const said = [['127.0.0.1'], ['127.0.0.1'], ['10.0.0.1']]
  hosted.names = new Proxy({}, { get: (_, name) => (name === 'turn.example' ? (said.length > 1 ? said.shift() : said[0]) : undefined) })
  const told = await hosted.python(code, { port: checked.port })
  // The name, its first connection, and the second one, for which it had turned.
  expect(told).toBe("resolved\nfirst b'hello'\nsecond ECONNRESET\n")
  expect(checked.connections).toBe(1)
  expect(hosted.of('network').at(-1)).toMatchObject({ name: 'turn.example', rule: 'reserved private' })
})

test('of a name with several addresses only those that passed are dialled', async () => {
  using server = await Canary.open(echo)
  using shut = await Canary.open(echo, '127.0.0.2')
  await using hosted = await Hosted.open(rules(['turn.example'], [`127.0.0.1:${server.port}`]))
  hosted.names['turn.example'] = ['127.0.0.2', '10.0.0.1', '127.0.0.1', '169.254.169.254']
  expect(await hosted.python(code, { port: server.port })).toBe("resolved\nfirst b'hello'\nsecond b'hello'\n")
  expect([server.connections, shut.connections]).toEqual([2, 0])
})
