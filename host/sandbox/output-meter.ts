import type { ProcessExit } from '@caisson/wire'
import type { Judge } from '../agent/process.ts'
import type { Ending } from './ending.ts'

/** Counts the output of one command or one run, and acts when there is too much: the sandbox ends, or only what printed. */
export class OutputMeter {
  readonly #limitBytes: number | null
  readonly #ending: Ending
  readonly #stop: () => void
  #bytes = 0
  #hit = false

  constructor(limitBytes: number | null, ending: Ending, stop: () => void) {
    this.#limitBytes = limitBytes
    this.#ending = ending
    this.#stop = stop
  }

  get hit(): boolean {
    return this.#hit
  }

  /** From the next byte on it is another run. */
  reset(): void {
    this.#bytes = 0
    this.#hit = false
  }

  readonly count = (bytes: number): void => {
    this.#bytes += bytes
    if (this.#hit || this.#limitBytes === null || this.#bytes <= this.#limitBytes) return
    this.#hit = true
    void this.#act(`more than ${this.#limitBytes} bytes of output`)
  }

  /** Says of a process that ended after it printed too much that this was the reason. */
  judge(judge: Judge): Judge {
    return {
      exited: async (exit) => this.#explain(await judge.exited(exit)),
      lost: (failure) => judge.lost(failure),
    }
  }

  async #act(detail: string): Promise<void> {
    if ((await this.#ending.hit('output', detail)) === 'report') this.#stop()
  }

  #explain(exit: ProcessExit): ProcessExit {
    return this.#hit && exit.limit === undefined ? { ...exit, limit: 'output' } : exit
  }
}
