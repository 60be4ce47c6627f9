import type { Place } from './chain.ts'
import type { PublicKey, SigningKey } from './signing-key.ts'

/** A record that says, signed, where the chain stood: nothing up to there can be changed without the key. */
export interface Checkpoint {
  kind: 'checkpoint'
  sandbox: string
  /** Of the key. */
  key: string
  covers: { seq: number; hash: string }
  signature: string
}

export function checkpoint(key: SigningKey, { seq, hash }: Place): Checkpoint {
  const covers = { seq, hash }
  return { kind: 'checkpoint', sandbox: '', key: key.public.id, covers, signature: key.sign(text(key.public.id, covers)) }
}

/** What a record of that kind lacks to be one; undefined: nothing. */
export function flawOf(record: Partial<Checkpoint>, key: PublicKey): string | undefined {
  const { covers, signature } = record
  if (record.key !== key.id) return `it is signed by another key, ${String(record.key)}`
  if (typeof covers?.seq !== 'number' || typeof covers.hash !== 'string' || typeof signature !== 'string') return 'it is no checkpoint'
  return key.signed(text(key.id, covers), signature) ? undefined : 'its signature is wrong'
}

function text(id: string, { seq, hash }: Place): string {
  return `caisson audit checkpoint\n${id}\n${seq}\n${hash}\n`
}
