/** One key's way of asking. */
export class ControlClient {
  readonly #url: string
  readonly #key: string

  constructor(url: string, key: string) {
    this.#url = url
    this.#key = key
  }

  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { 'x-api-key': this.#key, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) }
  }

  async text(method: string, path: string): Promise<string> {
    return (await fetch(this.#url + path, { method, headers: { 'x-api-key': this.#key } })).text()
  }

  /** JSON lines as they come; leaving the loop closes the connection. */
  async *lines(path: string, headers: Record<string, string> = {}): AsyncGenerator<unknown, void> {
    const stop = new AbortController()
    try {
      const { body } = await fetch(this.#url + path, { headers: { 'x-api-key': this.#key, ...headers }, signal: stop.signal })
      let text = ''
      const decoder = new TextDecoder()
      for await (const bytes of body ?? []) {
        text += decoder.decode(bytes, { stream: true })
        const lines = text.split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) yield JSON.parse(line)
      }
    } finally {
      stop.abort()
    }
  }
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: whatever came; each spec says what it expects of it
  body: any
}
