import { IncomingMessage } from 'node:http'

/**
 * A request whose wish to speak another protocol is heard only where it can be: Node would take every one of them out of HTTP, also the polite
 * `Upgrade: h2c` that some clients add to each request, and its body with it. Whoever is not heard is answered in HTTP/1.1 (RFC 9110, 7.8).
 */
export class UpgradableRequest extends IncomingMessage {
  /** Set by the constructor of the class below, before there could be a field of our own. */
  declare wishes: boolean

  get upgrade(): boolean {
    if (!this.wishes) return false
    const { headers } = this
    if (this.method === 'CONNECT') return true
    const hasBody = headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
    return !hasBody && headers.upgrade?.toLowerCase() !== 'h2c'
  }

  set upgrade(wishes: boolean | null) {
    this.wishes = wishes === true
  }
}
