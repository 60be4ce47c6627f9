import { beforeEach, expect, test } from 'vitest'
import { python, shared } from './gated.ts'
import { Canary, echo } from './servers.ts'

const gate = shared()

beforeEach(() => {
  const { airlock } = gate()
  airlock.asked.length = 0
  airlock.rules.name = () => false
  airlock.rules.connect = () => ({ verdict: 'deny' })
})

test('no port of the host’s loopback answers, by any address that means it', async () => {
  using v4 = await Canary.open(echo)
  using v6 = await Canary.open(echo, '::1')
  const code = python`
def reached(family, host, port):
    one = socket.socket(family, socket.SOCK_STREAM)
    one.settimeout(20)
    try:
        one.connect((host, port))
        return True
    except OSError as error:
        assert error.errno == errno.ECONNREFUSED, (host, port, error)
        return False
    finally:
        one.close()

# A client that connects to the port that it has itself is connected to itself (RFC 9293, 3.5).
low, high = map(int, open('/proc/sys/net/ipv4/ip_local_port_range').read().split())
print([port for port in range(1, 65536) if not low <= port <= high and reached(socket.AF_INET, '127.0.0.1', port)])
print([port for port in range(1, 65536, 7) if not low <= port <= high and reached(socket.AF_INET6, '::1', port)])
for host in ['127.0.0.1', '127.0.0.2', '127.255.255.254', '0.0.0.0', '198.18.0.2', '::1', '::', '::ffff:127.0.0.1', 'fdca:1550:9a7e::2']:
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    print(host, [reached(family, host, port) for port in facts['ports']])
`
  const told = (await gate().python(code, { ports: [v4.port, v6.port] })).trim().split('\n')
  // The gate's own proxies, which ask like everything else.
  expect(told[0]).toBe('[1080, 3128]')
  expect(told[1]).toBe('[]')
  for (const line of told.slice(2)) expect(line).toMatch(/ \[False, False\]$/)
  expect(told).toHaveLength(11)
  expect([v4.connections, v6.connections, gate().airlock.of('connect').length]).toEqual([0, 0, 0])
})

test('what a sandbox says to itself stays its own', async () => {
  const code = python`
def serve(host, family):
    server = socket.create_server((host, 0), family=family, dualstack_ipv6=False)
    def answer():
        one, _ = server.accept()
        one.sendall(one.recv(100).upper())
        one.close()
    threading.Thread(target=answer, daemon=True).start()
    return server.getsockname()[1]

for host, family, to in [('127.0.0.1', socket.AF_INET, '127.0.0.1'), ('0.0.0.0', socket.AF_INET, '127.9.9.9'), ('0.0.0.0', socket.AF_INET, socket.gethostname()),
                         ('0.0.0.0', socket.AF_INET, '198.18.0.2'), ('::1', socket.AF_INET6, '::1'), ('127.0.0.1', socket.AF_INET, '::ffff:127.0.0.1')]:
    attempt(to if to != socket.gethostname() else 'own name', lambda: exchange(opened(to, serve(host, family))))
mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mine.bind(('127.0.0.1', 53))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.sendto(b'own name server', ('127.0.0.1', 53))
print(mine.recv(100))
`
  const told = (await gate().python(code, {}, 'root')).trim().split('\n')
  const own = ['127.0.0.1', '127.9.9.9', 'own name', '198.18.0.2', '::1', '::ffff:127.0.0.1']
  expect(told).toEqual([...own.map((host) => `${host} b'HELLO'`), "b'own name server'"])
  expect(gate().airlock.asked).toEqual([])
})

test('datagrams other than to a name server, and pings, are refused at once; and it is told', async () => {
  const code = python`
def send(family, kind, protocol, to, bytes=b'x' * 16):
    one = socket.socket(family, kind, protocol)
    one.settimeout(10)
    one.connect(to)
    one.send(bytes)
    return one.recv(100)

for to in ['1.1.1.1', '10.0.0.1', '169.254.169.254', '224.0.0.251', '255.255.255.255']:
    attempt(to, lambda: send(socket.AF_INET, socket.SOCK_DGRAM, 0, (to, 443)))
attempt('v6', lambda: send(socket.AF_INET6, socket.SOCK_DGRAM, 0, ('2606:4700::1111', 443)))
attempt('mapped', lambda: send(socket.AF_INET6, socket.SOCK_DGRAM, 0, ('::ffff:1.1.1.1', 443)))
attempt('ping', lambda: send(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP, ('1.1.1.1', 0), struct.pack('!BBHHH', 8, 0, 0xf7fd, 1, 1)))
attempt('ping v6', lambda: send(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6, ('2606:4700::1111', 0), struct.pack('!BBHHH', 128, 0, 0, 1, 1)))
attempt('udplite', lambda: send(socket.AF_INET, socket.SOCK_DGRAM, 136, ('1.1.1.1', 443)))
`
  const told = (await gate().python(code)).trim().split('\n')
  for (const line of told) expect(line).toMatch(/ (EPERM|EACCES|EPROTONOSUPPORT|ENETUNREACH)$/)
  expect(told.slice(0, 3)).toEqual(['1.1.1.1 EPERM', '10.0.0.1 EPERM', '169.254.169.254 EPERM'])
  const refused = (kind: string) =>
    gate()
      .airlock.of('refused')
      .filter(({ what }) => what === kind)
  await expect.poll(() => refused('udp').reduce((sum, { count }) => sum + count, 0), { timeout: 5000 }).toBeGreaterThanOrEqual(6)
  expect(refused('udp')[0]?.detail).toMatch(/ to \S+(:443)?$/)
  expect(gate().airlock.of('connect')).toEqual([])
})

test('root inside can neither change the rules nor take the gate’s place', async () => {
  const code = python`
def netlink(protocol, kind, flags, body):
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    one.settimeout(5)
    one.send(struct.pack('=IHHII', 16 + len(body), kind, flags | 5, 1, 0) + body)
    return errno.errorcode[-struct.unpack('=i', one.recv(4096)[16:20])[0]]

def bound(family, kind, address, *options):
    one = socket.socket(family, kind)
    for level, option in options:
        one.setsockopt(level, option, 1)
    one.bind(address)
    if kind == socket.SOCK_STREAM:
        one.listen()
    return 'bound'

reuse = [(socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_REUSEPORT)]
print(open('/proc/self/status').read().split('CapEff:')[1].split()[0])
# RTM_DELROUTE of the default, RTM_NEWLINK, RTM_NEWADDR
attempt('route', lambda: netlink(0, 25, 0, struct.pack('=BBBBBBBBI', 2, 0, 0, 0, 255, 4, 254, 2, 0)))
attempt('link', lambda: netlink(0, 16, 0x400, struct.pack('=BBHiII', 0, 0, 0, 0, 0, 0)))
attempt('address', lambda: netlink(0, 20, 0x400, struct.pack('=BBBBi', 2, 32, 0, 0, 1) + struct.pack('=HH4s', 8, 2, b'\x01\x02\x03\x04')))
attempt('nf_tables', lambda: netlink(12, 0xa02, 0, b'\x01\0\0\0'))
attempt('transparent', lambda: bound(socket.AF_INET, socket.SOCK_STREAM, ('1.2.3.4', 80), (socket.SOL_IP, 19)))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
for host, port in [('198.18.0.1', 53), ('0.0.0.0', 53), ('127.0.0.1', 3128), ('0.0.0.0', 3128), ('127.0.0.1', 1080), ('0.0.0.0', 1080)]:
    for options in [[], reuse]:
        attempt(f'tcp {host}:{port}', lambda: bound(socket.AF_INET, socket.SOCK_STREAM, (host, port), *options))
for host in ['198.18.0.1', '0.0.0.0']:
    for options in [[], reuse]:
        attempt(f'udp {host}:53', lambda: bound(socket.AF_INET, socket.SOCK_DGRAM, (host, 53), *options))
        attempt(f'udp ::', lambda: bound(socket.AF_INET6, socket.SOCK_DGRAM, ('::', 53), *options))
# Whoever listens where others are to go hears nothing of them.
for host, port in [('1.2.3.4', 443), ('8.8.8.8', 853)]:
    server = socket.create_server((host, port))
    server.settimeout(1)
    attempt(f'to {host}', lambda: exchange(opened(host, port)))
    attempt('heard', lambda: server.accept())
mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mine.bind(('8.8.8.8', 53))
mine.settimeout(1)
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ask.settimeout(5)
ask.sendto(struct.pack('!6H', 7, 256, 1, 0, 0, 0) + b'\x01a\x07example\0\0\x01\0\x01', ('8.8.8.8', 53))
print(ask.recv(100)[3] & 15)
attempt('heard', lambda: mine.recv(100))
attempt('others’', lambda: [os.kill(int(pid), 9) for pid in os.listdir('/proc') if pid.isdigit() and 'gate' in open(f'/proc/{pid}/comm').read()])
`
  const told = (await gate().python(code, {}, 'root')).trim().split('\n')
  // NET_ADMIN is bit 12, NET_RAW bit 13.
  expect(BigInt(`0x${told[0]}`) & 0x3000n).toBe(0n)
  expect(told.slice(1, 8)).toEqual([
    'route EPERM',
    'link EPERM',
    'address EPERM',
    'nf_tables EPERM',
    'transparent EPERM',
    'raw EPERM',
    'packet EPERM',
  ])
  for (const line of told.slice(8, 28)) expect(line).toMatch(/ EADDRINUSE$/)
  expect(told.slice(28)).toEqual([
    'to 1.2.3.4 ECONNRESET',
    'heard timed out',
    'to 8.8.8.8 ECONNRESET',
    'heard timed out',
    '3',
    'heard timed out',
    'others’ []',
  ])
})
