import type { Server } from 'node:http'
import { createServer, type Server as Listener, type Socket } from 'node:net'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'
import type { Identity } from '../authority/identity.ts'
import { onAbort } from '../lifetimes.ts'
import { refuseMalformed } from './refusals.ts'
import { carriedBy } from './reset.ts'

/** First byte of a TLS connection (RFC 8446, 5.1: a record of type handshake). No request of HTTP begins so. */
const HANDSHAKE = 0x16
const FIRST_BYTE_MS = 20_000
const KEEP_ALIVE_PROBE_MS = 60_000
const THIS_MACHINE = /^(127\.|::1$|::ffff:127\.)/

/** One port for TLS and, from this machine, plain HTTP: what the first byte says. Nobody has to be waited for when `closing` aborts. */
export function listenBoth(server: Server, identity: Identity, closing: AbortSignal): Listener {
  let known = identity.cert
  let secureContext = contextOf(identity)
  const silent = new Set<Socket>()
  onAbort(closing, () => {
    for (const socket of silent) socket.destroy()
  })
  const listener = createServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS },
    (socket) => {
      silent.add(socket)
      socket.on('error', () => socket.destroy())
      socket.once('close', () => silent.delete(socket))
      socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy())
      socket.once('readable', () => {
        const first = socket.read(1) as Buffer | null
        if (first === null) return void socket.destroy()
        socket.unshift(first)
        silent.delete(socket)
        socket.setTimeout(0)
        socket.removeAllListeners('timeout')
        if (first[0] === HANDSHAKE) server.emit('connection', secured(socket))
        else if (THIS_MACHINE.test(socket.remoteAddress ?? '')) server.emit('connection', socket)
        else refuseMalformed(socket, 400, 'this port speaks TLS: ask with https')
      })
    },
  )
  // A server of HTTP that does not listen itself looks after its connections' timeouts from when it hears this.
  listener.once('listening', () => server.emit('listening'))
  return listener

  function secured(carrier: Socket): TLSSocket {
    if (identity.cert !== known) {
      secureContext = contextOf(identity)
      known = identity.cert
    }
    const socket = new TLSSocket(carrier, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] })
    carriedBy(socket, carrier)
    socket.on('error', () => socket.destroy())
    return socket
  }
}

function contextOf({ key, cert }: Identity): SecureContext {
  return createSecureContext({ key, cert, minVersion: 'TLSv1.2' })
}
