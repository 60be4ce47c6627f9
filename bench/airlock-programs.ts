/** Answers each byte `e` with one, and a `t` with 256 MiB. One thread: those of connections before would be measured with the next one. Prints its port. */
export const SERVER = `
import selectors, socket, sys

selector = selectors.DefaultSelector()
block = bytes(1 << 20)

def welcome(listener):
    one, _ = listener.accept()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(one, selectors.EVENT_READ, answer)

def answer(one):
    try:
        said = one.recv(1)
        if said == b'e':
            one.sendall(b'x')
        elif said == b't':
            for _ in range(256):
                one.sendall(block)
    except ConnectionError:
        said = b''
    if not said:
        selector.unregister(one)
        one.close()

listener = socket.create_server((sys.argv[1], 0), backlog=4096)
selector.register(listener, selectors.EVENT_READ, welcome)
print(listener.getsockname()[1], flush=True)
while True:
    for key, _ in selector.select():
        key.data(key.fileobj)
`

/** ADDRESS PORT CONNECTIONS TRANSFERS AT_ONCE; each may be 0. Prints milliseconds, and MB/s of the transfers. */
export const CLIENT = `
import json, socket, sys, time

address, port = sys.argv[1], int(sys.argv[2])
connections, transfers, at_once = map(int, sys.argv[3:6])

def opened():
    one = socket.create_connection((address, port))
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one

def answered(one):
    one.sendall(b'e')
    return one.recv(1) == b'x'

def took(work):
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000

def first():
    with opened() as one:
        assert answered(one)

for _ in range(20):
    first()
connects = [took(first) for _ in range(connections)]
with opened() as one:
    assert answered(one)
    rounds = [took(lambda: answered(one)) for _ in range(connections)]
buffer = bytearray(1 << 20)

def transfer():
    with opened() as one:
        one.sendall(b't')
        left = 256 << 20
        while left > 0:
            left -= one.recv_into(buffer)

speeds = [(256 << 20) / 1000 / took(transfer) for _ in range(transfers)]
served = 0

def crowd():
    global served
    ones = []
    for _ in range(at_once):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((address, port))
        ones.append(one)
    for one in ones:
        one.setblocking(True)
        one.settimeout(30)
        one.sendall(b'e')
    served = sum(one.recv(1) == b'x' for one in ones)
    for one in ones:
        one.close()

crowds = [took(crowd) for _ in range(3 if at_once else 0)]
print(json.dumps({'connects': connects, 'rounds': rounds, 'transfers': speeds, 'crowd': crowds, 'served': served}))
`

/** ADDRESS KEY CERTIFICATE. Answers each request in a few bytes. Prints its port. */
export const HTTPS_SERVER = `
import http.server, ssl, sys

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def do_GET(self):
        self.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')

    def log_message(self, *_):
        pass

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3], sys.argv[2])
server = http.server.ThreadingHTTPServer((sys.argv[1], 0), Answer)
server.daemon_threads = True
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
`

/** ADDRESS PORT REQUESTS [CERTIFICATE [PROXY_PORT]]. Prints milliseconds: on one connection, and on one each. Behind a proxy, it does not look at certificates. */
export const HTTPS_CLIENT = `
import http.client, json, ssl, sys, time

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
certificate = sys.argv[4] if len(sys.argv) > 4 else None
proxy = int(sys.argv[5]) if len(sys.argv) > 5 else None
context = ssl._create_unverified_context() if proxy else ssl.create_default_context(cafile=certificate)

def opened():
    one = http.client.HTTPSConnection('127.0.0.1' if proxy else address, proxy or port, context=context)
    if proxy:
        one.set_tunnel(address, port)
    return one

def asked(one):
    one.request('GET', '/')
    assert one.getresponse().read() == b'ok'

def took(work):
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1000

def fresh():
    one = opened()
    asked(one)
    one.close()

one = opened()
for _ in range(20):
    asked(one)
kept = [took(lambda: asked(one)) for _ in range(count)]
for _ in range(5):
    fresh()
print(json.dumps({'kept': kept, 'fresh': [took(fresh) for _ in range(count)]}))
`
