/** What a host needs in order to adopt a process. It is kept with the process: the agent returns it as the process's tag. */
export interface ProcessLabel {
  readonly tag: string | undefined
  /** When its time is up. */
  readonly deadlineMs: number | undefined
  readonly stdin: boolean
}

/** "1764100000000 i =work": the deadline or "-", "i" if its stdin is an open pipe, and the client's tag. */
const LABEL = /^(-|\d{1,15})( i)?(?: =(.*))?$/s

export function writeLabel({ tag, deadlineMs, stdin }: ProcessLabel): string {
  return `${deadlineMs === undefined ? '-' : Math.ceil(deadlineMs)}${stdin ? ' i' : ''}${tag === undefined ? '' : ` =${tag}`}`
}

/** The label was inside the wall, so it is untrusted: one that does not parse is ignored. */
export function readLabel(label: string): ProcessLabel {
  const [, deadline, stdin, tag] = LABEL.exec(label) ?? []
  const deadlineMs = deadline === undefined || deadline === '-' ? undefined : Number(deadline)
  return { tag, deadlineMs, stdin: stdin !== undefined }
}
