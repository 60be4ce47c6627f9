import type { Node } from '@vscode/tree-sitter-wasm'

export const MAX_DEPTH = 24
const MAX_TEXT = 65_536

/** Names of code, and what they stand for as far as that is written there; for each language the same, but for how it writes things. */
export abstract class KnownValues {
  /** `s` stands for `os.system`. */
  readonly names = new Map<string, string>()
  readonly texts = new Map<string, string>()

  /** What a text comes to when it is put together; null: it is only known when the code runs. */
  text(node: Node | null, depth = 0): string | null {
    if (node === null || depth > MAX_DEPTH) return null
    const result = this.made(node, depth + 1)
    return result !== null && result.length > MAX_TEXT ? null : result
  }

  /** Of one node, by its type; what is within it is asked for by `text`. */
  protected abstract made(node: Node, depth: number): string | null
}

/** Numbers of characters, written out. */
export function characterCodes(texts: readonly string[]): number[] | null {
  const isWritten = texts.length > 0 && texts.length <= 4096 && texts.every((text) => /^(\d{1,6}|0x[0-9a-f]{1,5})$/i.test(text))
  return isWritten ? texts.map(Number) : null
}
