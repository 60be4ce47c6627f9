import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Sockets that speak TLS, with the connection that carries them. */
const carriers = new WeakMap<Duplex, Socket>()

export function carriedBy(socket: Duplex, carrier: Socket): void {
  carriers.set(socket, carrier)
}

export function carrierOf(socket: Duplex): Duplex {
  return carriers.get(socket) ?? socket
}

/** Breaks a connection off: an end that no client takes for the end of an answer. TCP says so with RST, which a socket of TLS cannot. */
export function resetConnection(socket: Duplex): void {
  const carrier = carrierOf(socket)
  if (carrier instanceof Socket && !carrier.destroyed && !carrier.connecting) carrier.resetAndDestroy()
  socket.destroy()
}
