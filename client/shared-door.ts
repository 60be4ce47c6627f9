import { type Door, Fault } from '@caisson/wire'

/** Who has ended a sandbox may want the next: opening again costs milliseconds, staying open nothing. */
const LINGER_MS = 1000

/** One door for everyone who asks: opened by the first, closed when the last has let go, so that the program can end. */
export class SharedDoor<D extends Pick<Door, 'close'>> {
  readonly #open: () => Promise<D>
  #users = 0
  #door: Promise<D> | undefined
  #closed: Promise<void> = Promise.resolve()
  readonly #linger = () => void this.#close().catch((failure: unknown) => process.emitWarning(String(failure), 'CaissonWarning'))
  #lingering: NodeJS.Timeout | undefined

  constructor(open: () => Promise<D>) {
    this.#open = open
  }

  async acquire(signal: AbortSignal): Promise<D> {
    if (signal.aborted) throw new Fault('CANCELLED', 'the sandbox was not created', { cause: signal.reason })
    this.#users++
    this.#stay()
    try {
      await this.#closed
      this.#door ??= this.#open()
      return await this.#door
    } catch (error) {
      this.#users--
      this.#door = undefined
      throw error
    }
  }

  /** Rejects with what went wrong when it was closed. */
  async release(): Promise<void> {
    this.#users--
    await this.closeIdle()
  }

  /** At the end of the program: nothing stays open for whoever comes. */
  async closeIdle(): Promise<void> {
    if (this.#users === 0) await this.#close()
  }

  /** Closes in a while, or when the program has nothing else to do, unless somebody comes. */
  releaseLater(): void {
    this.#users--
    if (this.#users > 0) return
    this.#lingering = setTimeout(this.#linger, LINGER_MS).unref()
    process.once('beforeExit', this.#linger)
  }

  #stay(): void {
    clearTimeout(this.#lingering)
    process.off('beforeExit', this.#linger)
  }

  async #close(): Promise<void> {
    this.#stay()
    const door = this.#door
    if (door === undefined) return
    this.#door = undefined
    this.#closed = door.then((open) => open.close())
    await this.#closed
  }
}
