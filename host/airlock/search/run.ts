import { compiledAgain, type DlpPolicy, type Finding, Scanner, Watch } from '@caisson/policy'
import { digest } from './digest.ts'
import { Unpacking } from './unpacking.ts'
import type { Told, Wanted } from './words.ts'

const MAX_POLICIES = 16
const MAX_WATCHES = 256

/** Compiled policies and watch lists of recent runs. */
export class Known {
  readonly #policies = new Map<string, DlpPolicy>()
  readonly #watches = new Map<string, Watch>()

  policy(source: string): DlpPolicy {
    return remembered(this.#policies, source, MAX_POLICIES, () => compiledAgain(source))
  }

  watch({ policy: source, canaries }: Wanted): Watch {
    const { salt, fingerprints } = this.policy(source)
    const key = `${JSON.stringify(canaries)} ${source}`
    return remembered(this.#watches, key, MAX_WATCHES, () => new Watch(salt, digest, fingerprints, canaries))
  }
}

/** The search of one run of bytes, on a searcher thread. */
export class SearchRun {
  readonly #scanner: Scanner
  readonly #unpacking: Unpacking | null
  #findings: Finding[] = []

  constructor(known: Known, wanted: Wanted) {
    const { [wanted.which]: rules } = known.policy(wanted.policy)
    this.#scanner = new Scanner(rules, known.watch(wanted), (finding) => this.#findings.push(finding))
    this.#unpacking = wanted.coding === null ? null : new Unpacking(wanted.coding, (bytes) => this.#scanner.write(bytes))
    if (wanted.before.length === 0) return
    this.#scanner.write(wanted.before)
    this.#scanner.broken()
    this.#findings = []
  }

  /** Searches data again that has already been judged; its findings do not count. */
  async again(said: Uint8Array): Promise<void> {
    await this.write(said)
  }

  async write(bytes: Uint8Array): Promise<Told> {
    if (this.#unpacking === null) this.#scanner.write(bytes)
    else this.#wrong(await this.#unpacking.feed(bytes))
    return this.#told()
  }

  async settle(): Promise<Told> {
    if (this.#unpacking !== null) this.#wrong(await this.#unpacking.end())
    this.#scanner.settle()
    return this.#told()
  }

  close(): void {
    this.#unpacking?.close()
  }

  #wrong(wrong: string | null): void {
    if (wrong !== null) this.#findings.push({ detector: 'unscannable', through: wrong === 'broken' ? [] : [wrong], span: null })
  }

  #told(): Told {
    const findings = this.#findings
    this.#findings = []
    const { heldBytes } = this.#scanner
    // As many more as the same data may take when compressed.
    return { findings, heldBytes: this.#unpacking === null || heldBytes === 0 ? heldBytes : Math.ceil(heldBytes * 1.25) + 16 }
  }
}

function remembered<T>(map: Map<string, T>, key: string, most: number, make: () => T): T {
  const value = map.get(key) ?? make()
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > most && oldest !== undefined) map.delete(oldest)
  return value
}
