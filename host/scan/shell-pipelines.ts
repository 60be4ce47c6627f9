import type { Node } from '@vscode/tree-sitter-wasm'
import type { Gathering } from './gathering.ts'
import { decoded } from './shell-filters.ts'
import type { ShellWords } from './shell-words.ts'
import { field, named } from './walking.ts'

const DECODES = /^(base64|base32|basenc|xxd|openssl|gunzip|zcat|bzcat|xzcat|uudecode|rev|gpg|tac)$/
export const NETWORK = /^(\/\S*\/)?(curl|wget|nc|ncat|netcat|socat|telnet|ftp|sftp|ssh|mail|sendmail|openssl|dig|nslookup|host|ping)$/
/** Sends data, in the loop that reads the pipe. */
const SENDS = /\b(curl|wget|nc|ncat|dig|nslookup|host|ping)\s/
const TAKES = /^(tar|zip|cat|cpio|7z|gzip|base64|find|dd|xxd)$/
/** Commands that print secrets. */
const SECRETS =
  /^(sudo\s+)?(gpg2?\b.*--export-secret|kubectl\b.*\b(get|describe)\s+secrets?\b|security\s+(find|dump)|secret-tool\s|pass\s+show|aws\s+(configure\s+export|secretsmanager|ssm\s+get-param|sts\s+get-session)|gcloud\s+auth\s+(print|application)|az\s+account\s+get-access|vault\s+(kv|read|token)|op\s+(item|read)|git\s+credential|docker-credential|getent\s+shadow|history\b|ps\s+\w*e\w*ww|strings\s+\/proc)/
export const SHELL = /^(\/(usr\/)?bin\/)?(sh|bash|zsh|dash|ksh|ash|fish)$/
export const INTERPRETER = /^(\/(usr\/)?bin\/)?(sh|bash|zsh|dash|ksh|ash|python[\d.]*|node|perl|ruby|php|source|\.)$/
/** Commands whose output is unmodified data from others. */
const HEARS = /^(\/\S*\/)?(nc|ncat|netcat|socat|telnet|ftp|tftp|dig|nslookup|host)$/
export const FETCHES = /^(\/\S*\/)?(curl|wget|fetch|lynx|aria2c|http)$/
export const EVERYTHING = /^(~|\$HOME|\$\{HOME\}|\/(home|root|etc))(\/|$)|^\/$/

interface Reading {
  readonly gathering: Gathering
  readonly words: ShellWords
  /** The command of a stage, without prefixes such as sudo. */
  readonly nameOf: (stage: Node) => string
}

/** Examines what the commands of a pipeline pass on. */
export function readPipeline(node: Node, reading: Reading): void {
  const { gathering, words, nameOf } = reading
  const stages = named(node).map((stage) => (stage.type === 'redirected_statement' ? (field(stage, 'body') ?? stage) : stage))
  const names = stages.map((stage) => nameOf(stage))
  const last = names.at(-1) ?? ''
  if (stages.at(-1)?.type === 'command' && words.command(stages.at(-1) as Node)[0]?.isHidden === true && INTERPRETER.test(last))
    gathering.add('shape', 'hidden-command', node)
  const before = names.slice(0, -1)
  const isTaken = INTERPRETER.test(last)
  if (isTaken && before.some((name) => FETCHES.test(name) || HEARS.test(name))) gathering.add('shape', 'download-into-interpreter', node)
  if (isTaken && stages.slice(0, -1).some((stage) => /\bprintf\b[^|]{0,80}\\(x|[0-7]{2})/.test(stage.text.slice(0, 400))))
    gathering.add('shape', 'decoded-into-interpreter', node)
  if (isTaken && before.some((name) => DECODES.test(name) || name === 'tr')) gathering.add('shape', 'decoded-into-interpreter', node)
  if (
    /^(env|printenv|set|export)$/.test(names[0] ?? '') &&
    names.slice(1).some((name) => /^(curl|wget|nc|ncat|netcat|socat|telnet|mail|sendmail)$/.test(name))
  )
    gathering.add('shape', 'environment-sent', node)
  const end = stages.at(-1)
  const isSent = NETWORK.test(last) || (end?.type === 'while_statement' && SENDS.test(end.text.slice(0, 4000)))
  if (isSent && stages.slice(0, -1).some((stage) => takes(stage, reading) || SECRETS.test(stage.text.slice(0, 400))))
    gathering.add('shape', 'files-sent', node)
  if (!isTaken) return
  const printed = piped(node, words)
  if (printed !== null && SHELL.test(last)) gathering.read('shell', printed, node)
}

/** Reads whole folders of a user or of the machine. */
function takes(stage: Node, { words, nameOf }: Reading): boolean {
  if (stage.type !== 'command') return false
  const [, ...args] = words.command(stage).map(({ text }) => text)
  return TAKES.test(nameOf(stage)) && args.some((word) => EVERYTHING.test(word))
}

/** The output of all stages but the last. */
function piped(node: Node, words: ShellWords): string | null {
  const [first, ...stages] = named(node).slice(0, -1)
  let text = first === undefined ? null : (words.printed(first)?.text ?? null)
  for (const stage of stages)
    text =
      text === null || stage.type !== 'command'
        ? null
        : decoded(
            text,
            words.command(stage).map((word) => word.text),
          )
  return text
}
