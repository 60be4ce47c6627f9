import type { Field } from './exchange.ts'
import { valuesOf, without } from './fields.ts'
import type { Passage, Watch } from './passage.ts'

/** A header field added to a request. */
export interface Put {
  /** Lower case. */
  readonly header: string
  readonly value: string
  /** The value that must not come back; null: not secret. */
  readonly secret: string | null
}

const STAR = 0x2a

/** Sets these fields on a request, replacing the program's own, and removes the secrets from the response. */
export function credentials(puts: readonly Put[]): Passage {
  const secrets = puts.flatMap(({ secret }) => (secret === null ? [] : [secret]))
  const names = puts.map(({ header }) => header)
  const hidden = secrets.flatMap(formsOf).map((form) => Buffer.from(form))
  return {
    request(question) {
      const kept = without(question.fields, ...names, ...(secrets.length > 0 ? ['accept-encoding'] : []))
      const encoding: Field[] = secrets.length > 0 ? [['accept-encoding', 'identity']] : []
      return { ...question, fields: [...kept, ...encoding, ...puts.map(({ header, value }): Field => [header, value])] }
    },
    fields(fields, way) {
      if (way === 'out' || secrets.length === 0) return fields
      if (valuesOf(fields, 'content-encoding').some((coding) => coding.toLowerCase() !== 'identity')) {
        const reason = 'the server encodes its answer, though it was asked not to, and so a credential in it would not be seen'
        return { rule: 'credential', reason }
      }
      return fields.map(([name, value]): Field => [name, withoutSecrets(Buffer.from(value, 'latin1'), hidden).toString('latin1')])
    },
    watch: ({ way }) => (way === 'in' && hidden.length > 0 ? new Redacting(hidden) : null),
  }
}

/** As it is, and as encoded in URLs and JSON. */
function formsOf(secret: string): string[] {
  return [...new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])]
}

function withoutSecrets(bytes: Buffer, hidden: readonly Buffer[]): Buffer {
  for (const secret of hidden) {
    for (let at = bytes.indexOf(secret); at >= 0; at = bytes.indexOf(secret, at + secret.length)) bytes.fill(STAR, at, at + secret.length)
  }
  return bytes
}

/** Holds back only what may be the start of a secret. */
class Redacting implements Watch {
  readonly keepsLength = true
  readonly #hidden: readonly Buffer[]
  #held: Buffer = Buffer.alloc(0)

  constructor(hidden: readonly Buffer[]) {
    this.#hidden = hidden
  }

  chunk(bytes: Buffer): Buffer {
    // A copy, because the data belongs to its reader.
    const all = withoutSecrets(Buffer.concat([this.#held, bytes]), this.#hidden)
    const held = Math.max(...this.#hidden.map((secret) => beginningAtEnd(all, secret)))
    this.#held = all.subarray(all.length - held)
    return all.subarray(0, all.length - held)
  }

  end(): Buffer {
    const held = this.#held
    this.#held = Buffer.alloc(0)
    return held
  }
}

/** How many bytes at the end of `bytes` match the start of `secret`. */
function beginningAtEnd(bytes: Buffer, secret: Buffer): number {
  for (let length = Math.min(bytes.length, secret.length - 1); length > 0; length -= 1) {
    if (bytes.compare(secret, 0, length, bytes.length - length) === 0) return length
  }
  return 0
}
