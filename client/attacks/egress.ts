import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { python } from './attack.ts'
import { type Stage, unheard } from './stage.ts'

/** The host's own addresses, tried from a sandbox that may reach all public addresses: directly, and through everything that the gate answers. */
export function egress(): Stage {
  const token = randomBytes(12).toString('hex')
  const own = Object.values(networkInterfaces()).flatMap((list = []) =>
    list.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address),
  )
  let heard = 0
  const server = createServer((peer) => {
    heard += 1
    peer.on('error', () => peer.destroy())
    peer.end(token)
  })
  return {
    attacks: [
      {
        name: 'services of the host, from a sandbox with a network',
        why: 'whoever may reach the internet may not reach the machine that he runs on, by whatever spelling of its address',
        place: 'here',
        facts: (walled) => {
          if (walled) heard = 0
          return { port: (server.address() as AddressInfo).port, own: own.slice(0, 4), token, walled }
        },
        stoppedBy: /^(ECONNREFUSED|ECONNRESET|EHOSTUNREACH|ENETUNREACH|EPERM|EACCES|NONAME|TIMEOUT|HTTP|SOCKS)/,
        untouched: () => unheard(heard),
        code: python`
def heard(one):
    found = b''
    while len(found) < 24 and (piece := one.recv(100)):
        found += piece
    if found.decode() != facts['token']:
        raise ConnectionResetError(errno.ECONNRESET, 'closed without an answer')
    return facts['token']

def opened(host, port):
    return socket.create_connection((host, port), timeout=10)

def direct(host):
    with opened(host, facts['port']) as one:
        return heard(one)

# Without the wall there is no gate to ask.
def asked(host):
    if not facts['walled']:
        return direct('127.0.0.1')
    with opened('127.0.0.1', 3128) as one:
        one.sendall(f'CONNECT {host}:{facts["port"]} HTTP/1.1\r\n\r\n'.encode())
        head = b''
        while b'\r\n\r\n' not in head and (piece := one.recv(1)):
            head += piece
        status = head.split(b'\r\n')[0].decode('latin-1')
        if ' 200 ' not in status:
            raise Contained(status or 'HTTP: closed without an answer')
        return heard(one)

def socks(kind, host):
    if not facts['walled']:
        return direct('127.0.0.1')
    with opened('127.0.0.1', 1080) as one:
        one.sendall(b'\x05\x01\x00')
        one.recv(2)
        one.sendall(b'\x05\x01\x00' + kind + host + struct.pack('!H', facts['port']))
        reply = one.recv(10)
        if len(reply) < 2 or reply[1] != 0:
            raise Contained(f'SOCKS reply {reply[1] if len(reply) > 1 else "none"}')
        return heard(one)

for address in facts['own']:
    way(f'{address}')(lambda address=address: direct(address))
    way(f'{address} in IPv6')(lambda address=address: direct(f'::ffff:{address}'))
for host in ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '2130706433', '0x7f.1', '0.0.0.0', *facts['own']]:
    way(f'asked of the gate: {host}')(lambda host=host: asked(host))
way('SOCKS: 127.0.0.1')(lambda: socks(b'\x01', socket.inet_aton('127.0.0.1')))
way('SOCKS: localhost')(lambda: socks(b'\x03', b'\x09localhost'))
way('SOCKS: IPv4 in IPv6')(lambda: socks(b'\x04', socket.inet_pton(socket.AF_INET6, '::ffff:127.0.0.1')))
`,
      },
    ],
    async open() {
      await once(server.listen(0, '::'), 'listening')
    },
    async [Symbol.asyncDispose]() {
      server.close()
    },
  }
}
