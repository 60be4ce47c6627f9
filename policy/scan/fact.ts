export const SCANNED = ['python', 'javascript', 'shell'] as const
export type Scanned = (typeof SCANNED)[number]

/**
 * One thing that code says, whatever its language: what it imports, what it calls (by its full name, whatever it was called there), commands of a shell,
 * names of members, texts as they come out when they are put together, which files are written to, variables of the environment that are set, and a few shapes.
 */
export interface Fact {
  readonly kind: 'import' | 'call' | 'command' | 'member' | 'text' | 'write' | 'variable' | 'shape'
  /** `os.system`; a command with its arguments; a text. Texts are cut at 2,000 characters. */
  readonly value: string
  /** Of a call: its arguments, as far as they are known; `?` for one that is not. */
  readonly args: readonly string[]
  /** From 1. Of code within a text: where the text begins. */
  readonly line: number
  readonly column: number
  readonly language: Scanned
}
