import { beforeEach, expect, test } from 'vitest'
import { python, shared } from './gated.ts'

const gate = shared()

beforeEach(() => {
  const { airlock } = gate()
  airlock.asked.length = 0
  airlock.rules.name = ({ name }) => name.endsWith('good.example')
})

/** Questions and answers by hand, so that none is made well-formed on its way. */
const resolver = python`
def message(name, kind=1, id=7, flags=0x0100, count=1, klass=1, more=b'', additional=0):
    labels = b''.join(bytes([len(label)]) + label for label in name.split(b'.')) + b'\0' if isinstance(name, bytes) else name[0]
    return struct.pack('!6H', id, flags, count, 0, 0, additional) + labels + struct.pack('!2H', kind, klass) + more

def over_udp(question, server='198.18.0.1'):
    family = socket.AF_INET6 if ':' in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        one.connect((server, 53))
        one.send(question)
        return one.recv(4096)

def over_tcp(question, server='198.18.0.1'):
    one = socket.create_connection((server, 53), timeout=10)
    one.sendall(struct.pack('!H', len(question)) + question)
    head = one.recv(2)
    return one.recv(struct.unpack('!H', head)[0]) if head else b''

def read(answer):
    if not answer:
        return None
    id, flags, questions, answers, _, additional = struct.unpack('!6H', answer[:12])
    code, found = flags & 15, None
    if answers:
        record = answer[answer.index(b'\xc0\x0c'):]
        kind, _, ttl, length = struct.unpack('!HHIH', record[2:12])
        found = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, record[12:12 + length])
    return code, found
`

test('allowed names have addresses of their own, others do not exist, whatever server is asked and however', async () => {
  const code = python`
for server in ['198.18.0.1', '8.8.8.8', '192.168.1.1', '2001:4860:4860::8888', 'fdca:1550:9a7e::1']:
    for ask in [over_udp, over_tcp]:
        print(server, *[read(ask(message(name, kind), server)) for name, kind in
            [(b'good.example', 1), (b'good.example', 28), (b'bad.example', 1), (b'good.example', 65), (b'bad.example', 65), (b'good.example', 16)]])
print(read(over_udp(message(b'GOOD.Example'))), over_udp(message(b'GOOD.Example'))[12:26])
print(read(over_udp(message(b'other.good.example'))))
print(read(over_udp(message(b'localhost'))), read(over_udp(message(b'1.0.18.198.in-addr.arpa', 12))))
edns = b'\0' + struct.pack('!HHIH', 41, 4096, 0, 12) + struct.pack('!HH', 10, 8) + b'12345678'
answer = over_udp(message(b'good.example', additional=1, more=edns))
print(read(answer), struct.unpack('!H', answer[10:12]), answer[-11:-8])
`
  const told = (await gate().python(resolver + code)).trim().split('\n')
  const answers = ["(0, '198.18.1.0')", "(0, 'fdca:1550:9a7e:1::')", '(3, None)', '(0, None)', '(3, None)', '(0, None)'].join(' ')
  for (const line of told.slice(0, 10)) expect(line.slice(line.indexOf(' ') + 1)).toBe(answers)
  expect(told.slice(10)).toEqual([
    `(0, '198.18.1.0') b'\\x04GOOD\\x07Example\\x00'`,
    "(0, '198.18.1.1')",
    "(0, '127.0.0.1') (3, None)",
    "(0, '198.18.1.0') (1,) b'\\x00\\x00)'",
  ])
  const asked = new Set(
    gate()
      .airlock.of('name')
      .map(({ name, type }) => `${name} ${type}`),
  )
  expect(asked).toEqual(
    new Set(['good.example A', 'good.example AAAA', 'good.example other', 'bad.example A', 'bad.example other', 'other.good.example A']),
  )
})

test('what is not one plain question for a host name is refused at once, without asking', async () => {
  const code = python`
good = message(b'good.example')
bad = {
    'nul': message(b'good\0.example'), 'percent': message(b'a%00.example'), 'space': message(b'a b.example'), 'utf-8': message('ü.example'.encode()),
    'dot within': message([b'\x03a.b\x07example\0']), 'address': message(b'127.0.0.1'), 'octal': message(b'0177.1'), 'hex': message(b'0x7f'),
    'root': message([b'\0']), 'pointer': message([b'\xc0\x0c']), 'self': message([b'\x01a\xc0\x0c']), 'label': message([b'\x40' + b'a' * 64 + b'\0']),
    'long': message(b'.'.join([b'a' * 50] * 6)), 'class': message(b'good.example', klass=3), 'two': message(b'good.example', count=2),
    'none': message(b'good.example', count=0), 'opcode': message(b'good.example', flags=0x2800), 'trailing': good + b'x', 'cut': good[:-1], 'name cut': good[:20],
    'additional': message(b'good.example', additional=1, more=b'\0' + struct.pack('!HHIH', 250, 255, 0, 0)), 'huge': good + b'x' * 2000,
}
for label, question in bad.items():
    print(label, read(over_udp(question)), end='; ')
print()
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.connect(('198.18.0.1', 53))
silent.settimeout(0.3)
for question in [b'', b'short', good[:2] + b'\x81\x80' + good[4:]]:
    silent.send(question)
try:
    print(silent.recv(100))
except TimeoutError:
    print('silence')
attempt('tcp', lambda: over_tcp(good + b'x' * 2000))
local = message(b'localhost')
one = socket.create_connection(('198.18.0.1', 53), timeout=20)
row = (struct.pack('!H', len(local)) + local) * 20000
threading.Thread(target=lambda: one.sendall(row)).start()
length = 0
while length < 20000 * (2 + len(local) + 16):
    length += len(one.recv(1 << 20)) or 10 ** 9
print(length == 20000 * (2 + len(local) + 16))
print(read(over_udp(good)))
`
  const told = (await gate().python(resolver + code)).trim().split('\n')
  expect(told[0]?.trimEnd()).toBe(
    [
      ...['nul', 'percent', 'space', 'utf-8'].map((label) => `${label} (5, None)`),
      'dot within (1, None)',
      ...['address', 'octal', 'hex', 'root'].map((label) => `${label} (5, None)`),
      ...['pointer', 'self', 'label', 'long'].map((label) => `${label} (1, None)`),
      'class (5, None)',
      ...['two', 'none'].map((label) => `${label} (1, None)`),
      'opcode (4, None)',
      ...['trailing', 'cut', 'name cut', 'additional', 'huge'].map((label) => `${label} (1, None)`),
      '',
    ]
      .join('; ')
      .trimEnd(),
  )
  expect(told.slice(1)).toEqual(['silence', 'tcp ECONNRESET', 'True', "(0, '198.18.1.0')"])
  expect(
    gate()
      .airlock.of('name')
      .map(({ name }) => name),
  ).toEqual(['good.example'])
  const counted = () =>
    gate()
      .airlock.of('refused')
      .reduce((sum, { what, count }) => sum + (what === 'dns' ? count : 0), 0)
  await expect.poll(counted, { timeout: 5000 }).toBe(23)
})

test('five thousand questions are all answered, and as many names do not make the gate grow without end', async () => {
  const code = python`
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(('198.18.0.1', 53))
one.settimeout(10)
first = read(over_udp(message(b'first.good.example')))
seen = set()
for number in range(5000):
    one.send(message(b'n%d.good.example' % number))
    code, address = read(one.recv(4096))
    assert code == 0, code
    seen.add(address)
    if number % 1000 == 0:
        assert read(over_udp(message(b'first.good.example'))) == first
print(len(seen), read(over_udp(message(b'first.good.example'))) == first)
`
  expect(await gate().python(resolver + code)).toBe('5000 True\n')
})
