"""Servers that a user may run inside: an honest one at 3000, a WebSocket at 3001, and one at 3002 that lies in every way asked of it."""
import base64
import hashlib
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Honest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        whole = b""
        while True:
            length = int(self.rfile.readline(), 16)
            whole += self.rfile.read(length)
            if length == 0:
                while True:
                    line = self.rfile.readline().strip()
                    if not line:
                        return whole
                    self.trailers = line.decode() if self.trailers is None else f"{self.trailers}, {line.decode()}"
            self.rfile.readline()

    def answer(self, content, headers=()):
        self.send_response(200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self):
        if self.path == "/sum":
            digest, left = hashlib.sha256(), int(self.headers["content-length"])
            while left:
                piece = self.rfile.read(min(left, 1 << 20))
                digest.update(piece)
                left -= len(piece)
            return self.answer(digest.hexdigest().encode())
        self.trailers = None
        body = self.body()
        seen = {"path": self.path, "method": self.command, "headers": self.headers.items(), "body": body.decode(), "trailers": self.trailers}
        self.answer(json.dumps({**seen, "connection": self.client_address[1]}).encode(), [("Set-Cookie", "a=b; Domain=sbx.localhost; Path=/"), ("Alt-Svc", 'h3=":1"')])

    do_PUT = do_DELETE = do_OPTIONS = do_POST

    def do_GET(self):
        if self.path == "/events":
            self.server.heard.clear()
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number in range(3):
                self.wfile.write(b"data: %d\n\n" % number)
                self.wfile.flush()
                if number == 1:
                    self.server.heard.wait(20)
            self.close_connection = True
        elif self.path == "/heard":
            self.server.heard.set()
            self.answer(b"")
        elif self.path.startswith("/zeros/"):
            left = int(self.path[7:])
            self.send_response(200)
            self.send_header("Content-Length", str(left))
            self.end_headers()
            piece = bytes(1 << 20)
            while left:
                left -= self.wfile.write(piece[: min(left, len(piece))])
        elif self.path == "/trailers":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Trailer", "X-Sum")
            self.end_headers()
            self.wfile.write(b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
        else:
            self.do_POST()

    # Sends a body that nobody wants, as many do.
    do_HEAD = do_GET


def serve_honest(port, context=None, family=socket.AF_INET):
    class Server(ThreadingHTTPServer):
        address_family = family

    server = Server(("::1" if family == socket.AF_INET6 else "127.0.0.1", port), Honest)
    server.heard = threading.Event()
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def head_of(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return None, b""
        head += piece
    head, rest = head.split(b"\r\n\r\n", 1)
    return head.decode("latin1"), rest


def serve_socket(connection):
    """RFC 6455, as far as an echo needs it: short frames only."""
    head, rest = head_of(connection)
    if head is None:
        return
    key = next((line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")), "")
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    hello = b"\x81\x05hello"
    connection.sendall(answer.encode() + hello)
    while True:
        while len(rest) < 6 or len(rest) < 6 + (rest[1] & 127):
            piece = connection.recv(65536)
            if not piece:
                # The other side has ended; this one has something to say still.
                connection.sendall(b"\x81\x03bye")
                return connection.close()
            rest += piece
        length, mask = rest[1] & 127, rest[2:6]
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(rest[6 : 6 + length]))
        rest = rest[6 + length :]
        connection.sendall(bytes([0x81, len(text)]) + text)


LIES = {
    "/garbage": b"\x00\xff\xfenot http at all\r\n\r\n",
    "/silence": b"",
    "/half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "/half-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
    "/half-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "/both-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "/two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "/huge-head": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"v" * 50) for number in range(100_000)) + b"\r\n",
    "/split": b"HTTP/1.1 200 OK\r\nX-A: b\rX-Injected: yes\r\nContent-Length: 2\r\n\r\nok",
    "/control-letters": b"HTTP/1.1 200 \x01\x02\r\nX-A: \x7f\x01\r\nContent-Length: 2\r\n\r\nok",
    "/status-0": b"HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nok",
    "/status-099": b"HTTP/1.1 099 Low\r\nContent-Length: 2\r\n\r\nok",
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nbytes",
    "/switch-bare": b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "/two-answers": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    "/no-content": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/",
    "/odd-trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Length: 9\r\n\x01: x\r\n\r\n",
    "/bold-trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nAlt-Svc: h3\r\nSet-Cookie: a=b\r\nX-Sum: 7\r\nNEL: {}\r\n\r\n",
    "/bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "/upgrade-refused": b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno",
}


def serve_liar(connection):
    head, _ = head_of(connection)
    if head is None:
        return
    path = head.split(" ")[1]
    if path == "/endless-head":
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Header: %s\r\n" % (b"v" * 1000))
    connection.sendall(LIES.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    connection.shutdown(socket.SHUT_WR)
    time.sleep(0.2)
    connection.close()


def serve_raw(port, serve):
    listener = socket.create_server(("127.0.0.1", port))

    def one(connection):
        try:
            serve(connection)
        except OSError:
            connection.close()

    def forever():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=forever, daemon=True).start()


serve_honest(3000)
serve_raw(3001, serve_socket)
serve_raw(3002, serve_liar)
try:
    serve_honest(3003, family=socket.AF_INET6)
except OSError as failure:
    print(f"no IPv6: {failure}", file=sys.stderr)
if os.path.exists("/tmp/cert.pem"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tmp/cert.pem", "/tmp/key.pem")
    serve_honest(3004, context)
print("ready", flush=True)
threading.Event().wait()
