import { Data_Channel as Channel, type Event, type Open, type Opened } from '@caisson/wire/agent'

export type OperationCase = NonNullable<Open['operation']['case']>
type OpenedCase = NonNullable<Opened['result']['case']>
type EventCase = NonNullable<Event['what']['case']>

/** What the agent may send on a stream, by the operation that opened it. Anything else ends the connection. */
export interface Rule {
  readonly opened: OpenedCase
  readonly channels: readonly Channel[]
  readonly event?: EventCase
  /** Each direction ends separately: the end of incoming data does not end the operation. */
  readonly halves?: true
}

const process: Rule = { opened: 'started', channels: [Channel.STDOUT, Channel.STDERR, Channel.PTY, Channel.CONTROL], event: 'exit' }
const done: Rule = { opened: 'done', channels: [] }

/** Source: the comment on Opened in wire/agent.proto. */
const RULES: Readonly<Record<OperationCase, Rule>> = {
  hello: { opened: 'hello', channels: [] },
  start: process,
  attach: process,
  processes: { opened: 'processes', channels: [] },
  stat: { opened: 'entry', channels: [] },
  listDir: { opened: 'entries', channels: [], event: 'entries' },
  makeDir: done,
  move: done,
  remove: done,
  readFile: { opened: 'entry', channels: [Channel.FILE] },
  writeFile: done,
  watch: { ...done, event: 'file' },
  setAttributes: done,
  dial: { ...done, channels: [Channel.TCP], halves: true },
  metrics: { opened: 'metrics', channels: [] },
}

/** The rule for starting a process is narrower: a terminal has no pipes, and a control channel exists only if requested. */
export function ruleFor(operation: Open['operation'] & { case: OperationCase }): Rule {
  if (operation.case !== 'start') return RULES[operation.case]
  const channels = operation.value.pty === undefined ? [Channel.STDOUT, Channel.STDERR] : [Channel.PTY]
  return { ...process, channels: operation.value.controlChannel ? [...channels, Channel.CONTROL] : channels }
}
