import type { Visit } from '../call.ts'
import type { Upgrade } from '../dispatch.ts'
import { sendClosedPort } from '../edge.ts'
import type { Parts } from '../parts.ts'

/** Servers inside, reached through the agent. */
export class PortProxy {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async forward(visit: Visit, _prefix: string): Promise<void> {
    this.#parts.telemetry.log.debug({ port: visit.port }, 'forward')
    sendClosedPort(visit.request, visit.reply, visit.entered.record.id, visit.port)
  }

  async tunnel(visit: Visit, prefix: string, _upgrade: Upgrade): Promise<void> {
    await this.forward(visit, prefix)
  }

  close(): void {
    this.#parts.telemetry.log.debug({}, 'closed')
  }
}
