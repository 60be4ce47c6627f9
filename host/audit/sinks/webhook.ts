import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { originOf, post, reachUrl, Url } from './posting.ts'
import type { Sent, Sink, SinkHouse, SinkKind } from './sink.ts'

const Options = z.strictObject({
  url: Url,
  /** Name of the stored secret that signs the bodies. */
  secret: z.string(),
})

/** Posts lines in batches, signed `t=SECONDS,v1=HEX` with the HMAC-SHA256 of `SECONDS.BODY`. A 2xx answer acknowledges them. */
export const webhook: SinkKind<z.infer<typeof Options>> = {
  options: Options,
  open: (options, house) => new Webhook(options, house),
}

class Webhook implements Sink {
  readonly place: string
  readonly #url: string
  readonly #secret: string
  readonly #house: SinkHouse

  constructor({ url, secret }: z.infer<typeof Options>, house: SinkHouse) {
    this.place = originOf(url)
    this.#url = url
    this.#secret = secret
    this.#house = house
  }

  async reach(signal: AbortSignal): Promise<void> {
    await this.#key()
    await reachUrl(this.#url, signal)
  }

  async send(records: readonly Sent[], signal: AbortSignal): Promise<void> {
    const body = records.map(({ line }) => `${line}\n`).join('')
    const seconds = Math.floor(Date.now() / 1000)
    const signature = createHmac('sha256', await this.#key())
      .update(`${seconds}.${body}`)
      .digest('hex')
    const headers = {
      'content-type': 'application/x-ndjson',
      'x-caisson-signature': `t=${seconds},v1=${signature}`,
      'x-caisson-records': `${records[0]?.seq}-${records.at(-1)?.seq}`,
    }
    await post(this.#url, headers, body, signal)
  }

  async #key(): Promise<string> {
    const key = await this.#house.secret(this.#secret)
    if (key === undefined)
      throw new Error(`there is no secret ${this.#secret} to sign with; \`caisson secret set ${this.#secret}\` makes it`)
    return key
  }
}
