import { expect } from 'vitest'
import type { Held, Rich } from '../../wire/index.ts'
import { SpecHost } from '../walls/home.ts'

const signal = new AbortController().signal
const IMPORTS = 'import datetime, io\nimport numpy as np\nimport pandas as pd\nimport matplotlib.pyplot as plt\n'
export const PNG = /^iVBORw0KGgo/

/** A sandbox that draws. */
export class Figures implements AsyncDisposable {
  readonly #host: SpecHost
  readonly #held: Held

  private constructor(host: SpecHost, held: Held) {
    this.#host = host
    this.#held = held
  }

  static async open(): Promise<Figures> {
    const host = await SpecHost.open()
    return new Figures(host, await host.door.create({ timeoutMs: null }, signal))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held.kill(signal)
    await this.#host[Symbol.asyncDispose]()
  }

  async results(code: string): Promise<Rich[]> {
    const { results, error, stderr } = await this.#held.runCode({ code: IMPORTS + code }, () => undefined, signal)
    expect({ error, stderr }).toEqual({ error: undefined, stderr: '' })
    return results
  }

  /** Of a cell that shows one figure. */
  async chart(...lines: string[]): Promise<unknown> {
    const [result, ...more] = await this.results(`${lines.join('\n')}\nplt.show()`)
    expect(more).toEqual([])
    expect(result).toMatchObject({ png: expect.stringMatching(PNG), text: expect.stringMatching(/^<Figure size /), isMainResult: false })
    return result?.chart
  }
}
