import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** TLS sockets, mapped to the TCP connections beneath them. */
const carriers = new WeakMap<Duplex, Socket>()

export function carriedBy(socket: Duplex, carrier: Socket): void {
  carriers.set(socket, carrier)
}

export function carrierOf(socket: Duplex): Duplex {
  return carriers.get(socket) ?? socket
}

/** Breaks a connection so that no client mistakes it for the end of an answer. That takes a TCP RST, which a TLS socket cannot send itself. */
export function resetConnection(socket: Duplex): void {
  const carrier = carrierOf(socket)
  if (carrier instanceof Socket && !carrier.destroyed && !carrier.connecting) carrier.resetAndDestroy()
  socket.destroy()
}
