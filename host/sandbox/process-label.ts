/** What a host must know of a process that it finds again, kept with the process: the agent gives its tag back. */
export interface ProcessLabel {
  readonly tag: string | undefined
  /** When its time is up. */
  readonly deadlineMs: number | undefined
  readonly stdin: boolean
}

/** "1764100000000 i =work": deadline or "-", "i" when there is a pipe to write to, tag. */
const LABEL = /^(-|\d{1,15})( i)?(?: =(.*))?$/s

export function writeLabel({ tag, deadlineMs, stdin }: ProcessLabel): string {
  return `${deadlineMs === undefined ? '-' : Math.ceil(deadlineMs)}${stdin ? ' i' : ''}${tag === undefined ? '' : ` =${tag}`}`
}

/** It was inside the wall: what does not read as a label says nothing. */
export function readLabel(label: string): ProcessLabel {
  const [, deadline, stdin, tag] = LABEL.exec(label) ?? []
  const deadlineMs = deadline === undefined || deadline === '-' ? undefined : Number(deadline)
  return { tag, deadlineMs, stdin: stdin !== undefined }
}
