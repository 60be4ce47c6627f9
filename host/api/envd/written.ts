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
