import { connect, type Socket } from 'node:net'
import { onAbort } from '../../lifetimes.ts'

export type Address = { readonly host: string; readonly port: number } | { readonly path: string }

/** Connects to an address. Rejects if that fails. */
export function connected(address: Address, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(address)
    const stop = onAbort(signal, () => socket.destroy(new Error('it did not answer in time')))
    socket.once('connect', () => {
      stop()
      resolve(socket)
    })
    socket.once('error', (failure: NodeJS.ErrnoException) => {
      stop()
      reject(new Error(failure.message || (failure.code ?? 'no connection'), { cause: failure }))
    })
  })
}

/** Whether something listens there. */
export async function touch(address: Address, signal: AbortSignal): Promise<void> {
  const socket = await connected(address, signal)
  socket.on('error', () => undefined)
  socket.destroy()
}
