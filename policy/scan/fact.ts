export const SCANNED = ['python', 'javascript', 'shell'] as const
export type Scanned = (typeof SCANNED)[number]

/**
 * One fact about code, independent of its language: an import, a call (by its full name, whatever its alias), a shell command, a member name, a text after
 * concatenation, a file written to, an environment variable set, or one of a few structural patterns (shapes).
 */
export interface Fact {
  readonly kind: 'import' | 'call' | 'command' | 'member' | 'text' | 'write' | 'variable' | 'shape'
  /** `os.system`; a command with its arguments; a text. Texts are truncated to 2,000 characters. */
  readonly value: string
  /** For a call: its arguments, as far as known; `?` for an unknown one. */
  readonly args: readonly string[]
  /** Starts at 1. For code inside a text: where the text begins. */
  readonly line: number
  readonly column: number
  readonly language: Scanned
}
