import { Fault } from '@caisson/wire'
import { openProfiles } from '../embedded.ts'
import { table } from './daemon/table.ts'
import { exitCodeOf, faultLine, inTheCatalogue } from './ending.ts'
import { fitted, parsed, verbParser } from './parsing.ts'

const EXAMPLES = `
NAME is a profile or the path of a file that ends with .json. Your own profiles are in the folder profiles of the state folder; what they leave out comes
from the profile that they extend (docs/guide/profiles.md).

Examples:
  caisson profile list
  caisson profile show project
  caisson profile check ./mine.json
  caisson profile diff project mine`

type Profiles = Awaited<ReturnType<typeof openProfiles>>
type Saying = Awaited<ReturnType<Profiles['show']>>[number]

/** Manages profiles: named sets of options, stored as files. */
export async function profile(argv: readonly string[]): Promise<number> {
  const command = verbParser('profile')
    .usage('[options] [list | show NAME | check [NAME...] | diff NAME NAME]')
    .description('Lists the profiles, shows every choice of one, checks some or all, or compares two.')
    .argument('[WORD...]')
    .option('--json', 'print JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { json }: { json: boolean } = command.opts()
  const [verb = 'list', ...names] = command.args
  const [one, other] = names
  const { signal } = new AbortController()
  const profiles = await openProfiles('caisson profile')
  if (verb === 'list' && one === undefined) return await list(profiles, json, signal)
  if (verb === 'show' && one !== undefined && other === undefined) return await show(profiles, one, json, signal)
  if (verb === 'check') return await check(profiles, names, signal)
  if (verb === 'diff' && one !== undefined && other !== undefined && names.length === 2)
    return await diff(profiles, one, other, json, signal)
  throw new Fault('BAD_REQUEST', `nothing to do for \`caisson profile ${command.args.join(' ')}\``, {
    hint: 'See `caisson profile --help`.',
  })
}

async function list(profiles: Profiles, json: boolean, signal: AbortSignal): Promise<number> {
  const found = await profiles.list(signal)
  const rows = found.map(({ name, description }) => [name, description])
  process.stdout.write(json ? asJson(found) : table(['NAME', 'WHAT IT IS FOR'], rows))
  return 0
}

async function show(profiles: Profiles, name: string, json: boolean, signal: AbortSignal): Promise<number> {
  const says = await profiles.show(name, signal)
  const rows = says.map(({ field, value, by }) => [field, JSON.stringify(value), by])
  process.stdout.write(json ? asJson(says) : table(['FIELD', 'VALUE', 'SAID BY'], rows))
  return 0
}

/** Checks every profile, even after one has failed. */
async function check(profiles: Profiles, names: readonly string[], signal: AbortSignal): Promise<number> {
  const asked = names.length > 0 ? names : (await profiles.list(signal)).map(({ name }) => name)
  let exitCode = 0
  for (const name of asked) {
    try {
      process.stdout.write(`${(await profiles.check(name, signal)).join(' extends ')}: as it should be\n`)
    } catch (error) {
      const fault = inTheCatalogue(error)
      process.stderr.write(`${faultLine(fault)}\n`)
      exitCode = exitCodeOf(fault)
    }
  }
  return exitCode
}

/** Exits with 1 if they differ, as diff(1) does. */
async function diff(profiles: Profiles, one: string, other: string, json: boolean, signal: AbortSignal): Promise<number> {
  const [before, after] = [await profiles.show(one, signal), await profiles.show(other, signal)]
  const text = (says: readonly Saying[], field: string) => JSON.stringify(says.find((saying) => saying.field === field)?.value)
  const fields = [...new Set([...before, ...after].map(({ field }) => field))]
  const differing = fields.filter((field) => field !== 'description' && text(before, field) !== text(after, field))
  const rows = differing.map((field) => [field, text(before, field) ?? '-', text(after, field) ?? '-'])
  const document = Object.fromEntries(rows.map(([field, ...values]) => [field, values]))
  if (json) process.stdout.write(asJson(document))
  else if (rows.length > 0) process.stdout.write(table(['FIELD', one, other], rows))
  return rows.length > 0 ? 1 : 0
}

const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`
