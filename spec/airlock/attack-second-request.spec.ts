import { expect, test } from 'vitest'
import { python } from './gated.ts'
import { Hosted, rules } from './hosted.ts'
import { Canary } from './servers.ts'

test('what is said on a connection that was checked goes to its server and nowhere else, whatever it names', async () => {
  const heard: string[] = []
  using server = await Canary.open((peer) => {
    peer.on('data', (bytes: Buffer) => {
      heard.push(bytes.toString())
      peer.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    peer.on('end', () => peer.end())
  })
  using other = await Canary.open(() => undefined)
  await using hosted = await Hosted.open(rules([`good.example:${server.port}`], [`127.0.0.1:${server.port}`, `127.0.0.1:${other.port}`]))
  const code = python`
def twice(one):
    heard = b''
    for line in ['GET / HTTP/1.1\r\nHost: good.example\r\n\r\n', f'GET http://other.example:{facts["other"]}/ HTTP/1.1\r\nHost: other.example\r\n\r\n',
                 f'CONNECT other.example:{facts["other"]} HTTP/1.1\r\nHost: other.example\r\n\r\n']:
        one.sendall(line.encode())
        heard += one.recv(65536)
    return heard.count(b'200 OK')
def tunnel():
    one = opened('127.0.0.1', 3128)
    one.sendall(f'CONNECT good.example:{facts["port"]} HTTP/1.1\r\n\r\n'.encode())
    one.recv(65536)
    return one
attempt('direct', lambda: twice(opened('good.example', facts['port'])))
attempt('tunnel', lambda: twice(tunnel()))
def behind():
    one = opened('127.0.0.1', 3128)
    # Two in one go: the second is behind the head of the first, and must not be taken for a request to the proxy.
    one.sendall(f'CONNECT good.example:{facts["port"]} HTTP/1.1\r\n\r\nCONNECT other.example:{facts["other"]} HTTP/1.1\r\n\r\n'.encode())
    heard = b''
    # The proxy's word and the server's come in one piece or in two.
    while b'200 OK' not in heard and (more := one.recv(65536)):
        heard += more
    return b'200 OK' in heard
attempt('behind', behind)
`
  expect(await hosted.python(code, { port: server.port, other: other.port })).toBe('direct 3\ntunnel 3\nbehind True\n')
  expect(heard.join('')).toContain('CONNECT other.example')
  expect([other.connections, other.bytes]).toEqual([0, 0])
})

test('a redirect to a server that no rule allows is a question like any other', async () => {
  using other = await Canary.open(() => undefined)
  using server = await Canary.open((peer) => {
    peer.once('data', () =>
      peer.end(`HTTP/1.1 302 Found\r\nlocation: http://other.example:${other.port}/secret\r\ncontent-length: 0\r\n\r\n`),
    )
  })
  await using hosted = await Hosted.open(
    rules([`good.example:${server.port}`, 'other.example:1'], [`127.0.0.1:${server.port}`, `127.0.0.1:${other.port}`]),
  )
  const told = await hosted.sh(`curl -sS -L --max-time 20 -w ' %{num_redirects} %{http_code}' http://good.example:${server.port}/`)
  expect(told).toMatch(/NETWORK_DENIED[\s\S]* 1 403$/)
  expect([server.connections, other.connections, other.bytes]).toEqual([1, 0, 0])
})
