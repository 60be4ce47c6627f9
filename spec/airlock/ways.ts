import { python } from './gated.ts'

/** Every way out that a program has, tried for one server: `facts` are name, v4, v6, port (of name and v4) and port6. Each prints a line. */
export const WAYS = python`
def connect(host, port):
    one = opened('127.0.0.1', 3128)
    one.sendall(f'CONNECT {host}:{port} HTTP/1.1\r\n\r\n'.encode('latin-1'))
    head = b''
    while b'\r\n\r\n' not in head and (part := one.recv(65536)):
        head += part
    status = head.split(b'\r\n')[0].decode()
    return exchange(one) if ' 200 ' in status else status

def socks(kind, host, port):
    one = opened('127.0.0.1', 1080)
    one.sendall(b'\x05\x01\x00')
    one.recv(2)
    one.sendall(b'\x05\x01\x00' + kind + host + struct.pack('!H', port))
    reply = one.recv(10)
    return exchange(one) if reply[1] == 0 else f'reply {reply[1]}'

def over_tcp(name):
    asked = question(name)
    one = opened('198.18.0.1', 53)
    one.sendall(struct.pack('!H', len(asked)) + asked)
    return one.recv(514)[5] & 15

def every_way():
    name, v4, v6, port, port6 = (facts[key] for key in ['name', 'v4', 'v6', 'port', 'port6'])
    attempt('dns udp', lambda: resolve(name.encode()))
    attempt('dns tcp', lambda: over_tcp(name.encode()))
    attempt('direct', lambda: exchange(opened(name, port)))
    attempt('raw v4', lambda: exchange(opened(v4, port)))
    attempt('raw v6', lambda: exchange(opened(v6, port6)))
    attempt('mapped', lambda: exchange(opened('::ffff:' + v4, port)))
    attempt('connect name', lambda: connect(name, port))
    attempt('connect v4', lambda: connect(v4, port))
    attempt('connect v6', lambda: connect(f'[{v6}]', port6))
    attempt('connect mapped', lambda: connect(f'[::ffff:{v4}]', port))
    encoded = name.encode()
    attempt('socks name', lambda: socks(b'\x03', bytes([len(encoded)]) + encoded, port))
    attempt('socks v4', lambda: socks(b'\x01', socket.inet_pton(socket.AF_INET, v4), port))
    attempt('socks v6', lambda: socks(b'\x04', socket.inet_pton(socket.AF_INET6, v6), port6))
    attempt('socks mapped', lambda: socks(b'\x04', socket.inet_pton(socket.AF_INET6, '::ffff:' + v4), port))
`

/** What each says when it is not allowed. */
export const DENIED: Readonly<Record<string, RegExp>> = {
  'dns udp': /^3$/,
  'dns tcp': /^3$/,
  direct: /not known|ECONNRESET/,
  raw: /^ECONNRESET$/,
  mapped: /^ECONNRESET$/,
  connect: /^HTTP\/1\.1 403 Forbidden$/,
  socks: /^reply 2$/,
}

/** Of the program's lines, each with what it should have said. */
export function ways(told: string): { way: string; said: string; denied: RegExp }[] {
  return told
    .trim()
    .split('\n')
    .map((line) => {
      const [, way = '', said = ''] = /^(dns \w+|direct|raw \w+|mapped|connect \w+|socks \w+) (.*)$/.exec(line) ?? [line, line]
      return { way, said, denied: DENIED[way] ?? DENIED[way.split(' ')[0] ?? ''] ?? /never/ }
    })
}
