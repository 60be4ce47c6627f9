import type { Place } from './chain.ts'
import type { PublicKey, SigningKey } from './signing-key.ts'

/** A signed record of the chain's state: nothing up to that point can be changed without the key. */
export interface Checkpoint {
  kind: 'checkpoint'
  sandbox: string
  /** Id of the key. */
  key: string
  covers: { seq: number; hash: string }
  signature: string
}

export function checkpoint(key: SigningKey, { seq, hash }: Place): Checkpoint {
  const covers = { seq, hash }
  return { kind: 'checkpoint', sandbox: '', key: key.public.id, covers, signature: key.sign(text(key.public.id, covers)) }
}

/** What is wrong with a record of this kind; undefined: nothing. */
export function flawOf(record: Partial<Checkpoint>, key: PublicKey): string | undefined {
  const { covers, signature } = record
  if (record.key !== key.id) return `it is signed by another key, ${String(record.key)}`
  if (typeof covers?.seq !== 'number' || typeof covers.hash !== 'string' || typeof signature !== 'string') return 'it is no checkpoint'
  return key.signed(text(key.id, covers), signature) ? undefined : 'its signature is wrong'
}

function text(id: string, { seq, hash }: Place): string {
  return `caisson audit checkpoint\n${id}\n${seq}\n${hash}\n`
}
