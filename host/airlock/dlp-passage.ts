import { DlpWatch, joinedGround, mask } from './dlp-body.ts'
import { Looking } from './dlp-looking.ts'
import type { Lane, Outflow } from './dlp-outflow.ts'
import type { Target } from './egress.ts'
import type { Field, Question } from './inspect/exchange.ts'
import type { Ground, Passage, Passed, Run } from './inspect/passage.ts'

/** Searches everything that leaves on one connection: the requests and their bodies. Incoming data is not searched. */
export class DlpPassage implements Passage {
  readonly #outflow: Outflow
  readonly #lane: Lane

  constructor(outflow: Outflow, target: Target) {
    this.#outflow = outflow
    this.#lane = outflow.lane(target)
  }

  async request(question: Question): Promise<Question | Ground> {
    const { method, path, fields } = question
    const bytes = method.length + path.length + fields.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
    const over = this.#outflow.budgets.spend(this.#lane.target, bytes)
    if (over !== null) return over
    const url = await this.#looked('url', Buffer.from(`${method} ${path}`, 'latin1'))
    if ('rule' in url) return url
    const joined = await joinedGround(this.#outflow, this.#lane, 'url', Buffer.from(path, 'latin1'))
    if (joined !== null) return joined
    const changed = await this.fields(fields, 'out')
    if ('rule' in changed) return changed
    return { ...question, path: url.subarray(method.length + 1).toString('latin1'), fields: changed }
  }

  async fields(fields: readonly Field[], way: 'out' | 'in'): Promise<readonly Field[] | Ground> {
    if (way === 'in' || fields.length === 0) return fields
    const text = fields.map(([name, value]) => `${name}: ${value}\n`)
    const looked = await this.#looked('header', Buffer.from(text.join(''), 'latin1'))
    if ('rule' in looked) return looked
    let at = 0
    return fields.map(([name, value]): Field => {
      const start = at + name.length + 2
      at = start + value.length + 1
      return [looked.toString('latin1', start - name.length - 2, start - 2), looked.toString('latin1', start, start + value.length)]
    })
  }

  watch({ what, way, fields }: Run): DlpWatch | null {
    if (way === 'in') return null
    const valuesOf = (wanted: string) => fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value)
    const codings = valuesOf('content-encoding').flatMap((value) =>
      value
        .toLowerCase()
        .split(',')
        .map((coding) => coding.trim()),
    )
    const length = Number(valuesOf('content-length')[0] ?? Number.NaN)
    const about =
      what === 'message' ? { codings: [], lengthBytes: null } : { codings, lengthBytes: Number.isInteger(length) ? length : null }
    return new DlpWatch(this.#outflow, this.#lane, what, about)
  }

  async #looked(place: 'url' | 'header', bytes: Buffer): Promise<Passed> {
    const looking = new Looking(this.#outflow, this.#lane, place)
    const ground = (await looking.write(bytes)) ?? (await looking.settle())
    looking.close()
    if (ground !== null) return ground
    for (const span of looking.redactions) mask(bytes, span)
    return bytes
  }
}
