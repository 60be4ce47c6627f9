import { Fault } from '@caisson/wire'
import { type AuditQuery, auditSinks, openAudit } from '../embedded.ts'
import { count } from './arguments/count.ts'
import { moment } from './arguments/moment.ts'
import { entryLine } from './audit/entry-line.ts'
import { latest, mapped, printed } from './audit/printing.ts'
import { replay } from './audit/replay.ts'
import { sinksPage } from './audit/sinks-page.ts'
import { verdictPage } from './audit/verdict-page.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
The log is a hash chain: each record has the hash of the one before, and the installation signs checkpoints. verify reads all of it, names the first record
that was changed, and exits with 1 then. Keep a copy of the public key elsewhere (caisson audit key): with it, verify notices even a log that was
rewritten by somebody who can write to the state folder.

Examples:
  caisson audit list --since 1h
  caisson audit list --sandbox i0123456789abcdefghi --kind exec --json
  caisson audit list --owner alice --host pypi --since 7d
  caisson audit show 4711
  caisson audit key >elsewhere.pem && caisson audit verify --key elsewhere.pem
  caisson audit sinks
  caisson audit list --kind terminal && caisson audit replay t0123456789abcdef0123 --idle-limit 2
  caisson audit export --format ocsf --since 1d >events.jsonl`

interface Options {
  sandbox?: string
  owner?: string
  kind?: string
  host?: string
  command?: string
  since?: number
  until?: number
  last?: number
  key?: string
  folder?: string
  format: string
  speed: number
  idleLimit?: number
  json: boolean
}

const { signal } = new AbortController()

/** Reads the audit log in this machine's state folder. */
export async function audit(argv: readonly string[]): Promise<number> {
  const command = verbParser('audit')
    .usage('[options] [list | show NUMBER... | verify | export | key | sinks | replay TERMINAL]')
    .description(
      'Lists what was recorded, shows records whole, checks that none was changed, exports them, or says how the places stand that they are sent to.',
    )
    .argument('[WORD...]')
    .option('--sandbox <id>', 'of one sandbox')
    .option('--owner <name>', 'of what this owner created or did')
    .option('--kind <kind>', 'of one kind: create, command, exec, run, network, death, ...')
    .option('--host <text>', 'connections and DNS queries whose name or address contains this')
    .option('--command <text>', 'commands and code that contain this')
    .option('--since <moment>', 'from this time on: a date and time, or 30m, 2h, 7d ago', moment)
    .option('--until <moment>', 'before this time', moment)
    .option('--last <number>', 'the latest records only', count('records'))
    .option('--key <file>', 'verify: the public key to check with')
    .option('--folder <dir>', 'a copy of a log, instead of that of the state folder')
    .option('--format <format>', 'export: jsonl, as it was written, or ocsf, events for a collector', format, 'jsonl')
    .option('--speed <number>', 'replay: this many times as fast', factor, 1)
    .option('--idle-limit <seconds>', 'replay: shorten longer pauses to this', factor)
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const options: Options = command.opts()
  const [verb = 'list', ...words] = command.args
  const work = workOf(verb, words, options)
  return await work()
}

/** Arguments are checked before a log is opened. */
function workOf(verb: string, words: readonly string[], options: Options): () => Promise<number> {
  if (verb === 'list' && words.length === 0) return () => list(options)
  if (verb === 'show' && words.length > 0) return () => show(words.map(number), options)
  if (verb === 'verify' && words.length === 0) return () => verify(options)
  if (verb === 'export' && words.length === 0) return () => exported(options)
  if (verb === 'sinks' && words.length === 0) {
    return async () => {
      const all = await auditSinks()
      process.stdout.write(options.json ? `${JSON.stringify(all, null, 2)}\n` : sinksPage(all, Date.now()))
      return all.some(({ failing }) => failing !== null) ? 1 : 0
    }
  }
  if (verb === 'replay' && words.length === 1) return () => replayed(words[0] ?? '', options)
  if (verb === 'key' && words.length === 0) {
    return async () => {
      process.stdout.write((await openAudit(options.folder)).publicKey)
      return 0
    }
  }
  throw new Fault('BAD_REQUEST', `caisson audit ${[verb, ...words].join(' ')}: no such command`, {
    hint: 'See `caisson audit --help`.',
  })
}

function format(word: string): string {
  if (word === 'jsonl' || word === 'ocsf') return word
  throw new Fault('BAD_REQUEST', `--format: ${JSON.stringify(word)} is no format`, { hint: 'Give jsonl or ocsf.' })
}

function queryOf({ sandbox, owner, kind, host, command, since, until }: Options): AuditQuery {
  return { sandbox, owner, kind, host, command, sinceMs: since, untilMs: until }
}

async function list(options: Options): Promise<number> {
  const entries = latest((await openAudit(options.folder)).entries(queryOf(options), signal), options.last)
  await printed(mapped(entries, options.json ? JSON.stringify : entryLine))
  return 0
}

async function show(numbers: readonly number[], options: Options): Promise<number> {
  const log = await openAudit(options.folder)
  const wanted = new Set(numbers)
  for await (const entry of log.entries(queryOf(options), signal)) {
    if (wanted.delete(entry['seq'] as number)) process.stdout.write(`${JSON.stringify(entry, null, options.json ? 0 : 2)}\n`)
    if (wanted.size === 0) return 0
  }
  throw new Fault('NOT_FOUND', `the log has no record ${[...wanted].join(', ')}`)
}

async function verify(options: Options): Promise<number> {
  const log = await openAudit(options.folder)
  const verified = await log.verify(options.key ?? null, signal)
  process.stdout.write(
    options.json ? `${JSON.stringify(verified, null, 2)}\n` : verdictPage(log.folder, verified, options.key === undefined),
  )
  return verified.bad === null ? 0 : 1
}

async function exported(options: Options): Promise<number> {
  const log = await openAudit(options.folder)
  const lines = options.format === 'ocsf' ? log.events(queryOf(options), signal) : log.entries(queryOf(options), signal)
  await printed(mapped(latest(lines, options.last), JSON.stringify))
  return 0
}

async function replayed(id: string, { folder, speed, idleLimit, json }: Options): Promise<number> {
  const { path, seq } = await (await openAudit(folder)).terminal(id, signal)
  if (seq === null) process.stderr.write('caisson: this session is not over: no record vouches for what it shows yet\n')
  await replay(path, { speed, idleSeconds: idleLimit, raw: json })
  return 0
}

function factor(text: string): number {
  const value = /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Number(text) : 0
  if (value > 0) return value
  throw new Fault('BAD_REQUEST', `${JSON.stringify(text)} is no number above 0`)
}

function number(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new Fault('BAD_REQUEST', `${JSON.stringify(text)} is no number of a record`, { hint: '`caisson audit list` shows them in front.' })
}
