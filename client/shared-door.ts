import { type Door, Fault } from '@caisson/wire'

/** One door for everyone who asks: opened by the first, closed when the last has let go, so that the program can end. */
export class SharedDoor<D extends Pick<Door, 'close'>> {
  readonly #open: () => Promise<D>
  #users = 0
  #door: Promise<D> | undefined
  #closed: Promise<void> = Promise.resolve()

  constructor(open: () => Promise<D>) {
    this.#open = open
  }

  async acquire(signal: AbortSignal): Promise<D> {
    if (signal.aborted) throw new Fault('CANCELLED', 'the sandbox was not created', { cause: signal.reason })
    this.#users++
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

  async release(): Promise<void> {
    this.#users--
    const door = this.#door
    if (this.#users > 0 || door === undefined) return
    this.#door = undefined
    this.#closed = door.then((open) => open.close())
    await this.#closed
  }
}
