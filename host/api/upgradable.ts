import { IncomingMessage } from 'node:http'

/**
 * A request whose Upgrade header is honoured only where that is possible. Node would take each such request out of HTTP, even the `Upgrade: h2c` that some
 * clients always add, and its body with it. Others are answered in HTTP/1.1 (RFC 9110, 7.8).
 */
export class UpgradableRequest extends IncomingMessage {
  /** Set by the base class's constructor, before a field of our own could exist. */
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
