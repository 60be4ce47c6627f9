import type { ServerResponse } from 'node:http'

/** Resolves when there is room for more, or the client has gone (`reply.destroyed`). */
export async function written(reply: ServerResponse, piece: Uint8Array): Promise<void> {
  if (reply.destroyed || reply.write(piece)) return
  await new Promise<void>((resolve) => {
    const over = () => {
      reply.off('drain', over)
      reply.off('close', over)
      resolve()
    }
    reply.on('drain', over)
    reply.on('close', over)
  })
}

/** Resolves when the kernel has the piece, so that its memory may be used again, or the client has gone (`reply.destroyed`; then it may not). */
export async function sentOff(reply: ServerResponse, piece: Uint8Array): Promise<void> {
  if (reply.destroyed) return
  await new Promise<void>((resolve) => {
    const over = () => {
      reply.off('close', over)
      resolve()
    }
    reply.on('close', over)
    reply.write(piece, (failure) => {
      if (failure != null) reply.destroy(failure)
      over()
    })
  })
}
