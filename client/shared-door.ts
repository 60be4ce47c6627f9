import { type Door, Fault } from '@caisson/wire'

/** A caller that has ended a sandbox may want another: reopening costs milliseconds, staying open nothing. */
const LINGER_MS = 1000

/** One door for all callers: the first opens it, and it closes when the last has released it, so that the program can end. */
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

  /** Rejects with the error of closing it. */
  async release(): Promise<void> {
    this.#users--
    await this.closeIdle()
  }

  /** At the end of the program: closes a door that stays open only for the next caller. */
  async closeIdle(): Promise<void> {
    if (this.#users === 0) await this.#close()
  }

  /** Closes after a while, or when the program has nothing else to do, unless a caller comes. */
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
