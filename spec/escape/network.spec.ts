import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { attack, program, python, read, shared } from './attack.ts'

const wall = shared()
const token = randomBytes(12).toString('hex')
let heard = 0
let tcp: Server
let udp: Socket

beforeAll(async () => {
  tcp = createServer((peer) => {
    heard += 1
    peer.on('error', () => peer.destroy())
    peer.end(token)
  }).listen(0, '127.0.0.1')
  await once(tcp, 'listening')
  udp = createSocket('udp4', (_, from) => {
    heard += 1
    udp.send(token, from.port, from.address)
  })
  udp.bind(0, '127.0.0.1')
  await once(udp, 'listening')
})
afterAll(() => {
  tcp.close()
  udp.close()
})

attack(wall, 'services of the host', {
  why: 'databases, clouds’ metadata and the browser’s debugger trust whoever comes from this machine',
  place: 'here',
  facts: (walled) => {
    // What the attack without the wall made the listener hear does not count.
    if (walled) heard = 0
    return { tcp: (tcp.address() as AddressInfo).port, udp: udp.address().port, token }
  },
  stoppedBy: /^(ECONNREFUSED|ENETUNREACH)/,
  untouched: () => expect(heard).toBe(0),
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
})

const ELSEWHERE = python`
TCP = [(socket.AF_INET, ('192.0.2.77', 7)), (socket.AF_INET, ('198.51.100.77', 443)), (socket.AF_INET, ('169.254.169.254', 80)), (socket.AF_INET6, ('2001:db8::77', 443))]

def connector(family, address):
    def run():
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(10)
            one.connect(address)
            return one.recv(100).decode()
    return run

def sender(family, address):
    def run():
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.settimeout(10)
            one.sendto(b'hello', address)
            return one.recv(100).decode()
    return run

def serve():
    for family, address in TCP:
        stream, datagram = socket.socket(family, socket.SOCK_STREAM), socket.socket(family, socket.SOCK_DGRAM)
        for one in (stream, datagram):
            one.bind(address)
        stream.listen()
        if os.fork() == 0:
            for _ in range(1):
                peer, _ = stream.accept()
                peer.send(b'reached')
                _, peer = datagram.recvfrom(100)
                datagram.sendto(b'reached', peer)
            os._exit(0)

if facts.get('serve'):
    for command in ['ip link set lo up', *(f'ip address add {address[0]} dev lo nodad' if ':' in address[0] else f'ip address add {address[0]} dev lo' for _, address in TCP)]:
        subprocess.run(command.split(), check=True)
    serve()
for family, address in TCP:
    way(f'TCP to {address[0]}')(connector(family, address))
    way(f'UDP to {address[0]}')(sender(family, address))
`

// Without the wall: in a network namespace where those addresses are, and nothing leaves this machine.
test('other addresses: reached without the wall', async () => {
  const child = spawn(
    '/usr/bin/unshare',
    ['--net', '--', '/usr/bin/python3', '-I', '-B', '-c', program(ELSEWHERE), '{"serve":true,"scratch":"/tmp"}'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const verdicts = read(await said(child), 'exit 0:')
  expect(verdicts.map(({ verdict }) => verdict)).toEqual(verdicts.map(() => 'ESCAPED'))
  expect(verdicts).toHaveLength(8)
})

for (const user of ['user', 'root']) {
  test(`other addresses: refused at once, with a reason, for ${user}`, async () => {
    const { stdout } = await wall.sandbox.commands.run(['/usr/bin/python3', '-I', '-B', '-c', program(ELSEWHERE), '{}'], { user })
    const verdicts = read(stdout, 'exit 0:')
    expect(verdicts).toHaveLength(8)
    for (const { verdict, text } of verdicts) expect(`${verdict} ${text}`).toMatch(/^CONTAINED (ENETUNREACH|EADDRNOTAVAIL)/)
  })
}

test('a name does not resolve, and the program is told so', async () => {
  const code =
    'import socket\ntry:\n    socket.create_connection(("www.example.org", 443), 20)\nexcept OSError as error:\n    print(type(error).__name__, error)'
  const { stdout } = await wall.sandbox.commands.run(['/usr/bin/python3', '-I', '-c', code])
  expect(stdout).toMatch(/^gaierror .*(name resolution|not known)/)
})

test('there is lo, and nothing else', async () => {
  const { stdout } = await wall.sandbox.commands.run('cut -d: -f1 -s /proc/net/dev; tail -n +2 /proc/net/route')
  expect(stdout.trim()).toBe('lo')
})

async function said(child: ChildProcess): Promise<string> {
  const pieces: Buffer[] = []
  child.stdout?.on('data', (piece: Buffer) => pieces.push(piece))
  await once(child, 'close')
  return Buffer.concat(pieces).toString()
}
