import type { ProcessExit } from '@caisson/wire'
import type { Judge } from '../agent/process.ts'
import type { Ending } from './ending.ts'

/** Counts the output of one command or run. Beyond the limit it ends the sandbox, or only the process that printed. */
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

  /** The next byte belongs to another run. */
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

  /** Reports the output limit as the reason for the end of a process that printed too much. */
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
