import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { python } from './attack.ts'
import { type Stage, unheard } from './stage.ts'

/** A listener on the host that trusts any peer on this machine. */
export function network(): Stage {
  const token = randomBytes(12).toString('hex')
  let heard = 0
  const tcp = createServer((peer) => {
    heard += 1
    peer.on('error', () => peer.destroy())
    peer.end(token)
  })
  const udp = createSocket('udp4', (_, from) => {
    heard += 1
    udp.send(token, from.port, from.address)
  })
  return {
    attacks: [
      {
        name: 'services of the host',

        why: 'databases, clouds’ metadata and the browser’s debugger trust whoever comes from this machine',
        place: 'here',
        facts: (walled) => {
          // Connections made by the attack without the wall do not count.
          if (walled) heard = 0
          return { tcp: (tcp.address() as AddressInfo).port, udp: udp.address().port, token }
        },
        stoppedBy: /^(ECONNREFUSED|ENETUNREACH)/,
        untouched: () => unheard(heard),
        code: python`
def connect(host, port):
    with socket.create_connection((host, port), timeout=10) as one:
        found = one.recv(100).decode()
    assert found == facts['token']
    return found

way('127.0.0.1')(lambda: connect('127.0.0.1', facts['tcp']))
way('localhost')(lambda: connect('localhost', facts['tcp']))
way('IPv4 in IPv6')(lambda: connect('::ffff:127.0.0.1', facts['tcp']))
way('0.0.0.0')(lambda: connect('0.0.0.0', facts['tcp']))

@way('UDP')
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        # Connected, so that a refusal comes back.
        one.connect(('127.0.0.1', facts['udp']))
        one.send(b'hello')
        found = one.recv(100).decode()
    assert found == facts['token']
    return found
`,
      },
    ],
    async open() {
      await once(tcp.listen(0, '127.0.0.1'), 'listening')
      udp.bind(0, '127.0.0.1')
      await once(udp, 'listening')
    },
    async [Symbol.asyncDispose]() {
      tcp.close()
      udp.close()
    },
  }
}
