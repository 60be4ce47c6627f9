import type { ContextInfo, Held } from '@caisson/wire'
import { present } from './present.ts'
import { signalOr } from './signals.ts'

export type { ContextInfo }

interface Options {
  signal?: AbortSignal
}

/** A context, or its id. */
export type ContextRef = ContextInfo | string

export function contextId(context: ContextRef): string {
  return typeof context === 'string' ? context : context.id
}

/** Several interpreters in one sandbox, each with its own language, working folder and state. */
export class Contexts {
  readonly #held: Held

  constructor(held: Held) {
    this.#held = held
  }

  async create(options: Options & { language?: string; cwd?: string } = {}): Promise<ContextInfo> {
    const { signal, language = 'python', cwd } = options
    return await this.#held.createContext(present({ language, cwd }), signalOr(signal))
  }

  async list(options: Options = {}): Promise<ContextInfo[]> {
    return await this.#held.contexts(signalOr(options.signal))
  }

  /** Discards all state; language and working folder stay. */
  async restart(context: ContextRef, options: Options = {}): Promise<void> {
    await this.#held.restartContext(contextId(context), signalOr(options.signal))
  }

  async delete(context: ContextRef, options: Options = {}): Promise<void> {
    await this.#held.deleteContext(contextId(context), signalOr(options.signal))
  }
}
