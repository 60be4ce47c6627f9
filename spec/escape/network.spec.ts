import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { network } from '../../client/attacks/network.ts'
import { attackAll, program, python, read, shared } from './attack.ts'

const wall = shared()
attackAll(wall, network())

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
