import { arch, release } from 'node:os'
import { Fault, type Network, WALLS, type WallName, wallNamed } from '@caisson/wire'
import { abstractSockets } from '../attacks/abstract-sockets.ts'
import type { NamedAttack } from '../attacks/attack.ts'
import { egress } from '../attacks/egress.ts'
import { hostEnvironment } from '../attacks/host-environment.ts'
import { hostFiles } from '../attacks/host-files.ts'
import { hostProcesses } from '../attacks/host-processes.ts'
import { network } from '../attacks/network.ts'
import { type AttackReport, isContained, type WallReport } from '../attacks/report.ts'
import * as calls from '../attacks/shelf.ts'
import { Siege } from '../attacks/siege.ts'
import type { Stage } from '../attacks/stage.ts'
import { Target } from '../attacks/target.ts'
import { attest } from '../embedded.ts'
import { attackPage } from './attack/attack-page.ts'
import { collected, fitted, parsed, verbParser } from './parsing.ts'
import { Interrupts } from './run/interrupts.ts'

const EXAMPLES = `
Each attack first runs without isolation, in a throw-away child process, where it must succeed. Then it runs behind each wall, as user and as root,
where it must fail. Needs root. Exits with 0 only if every way out was contained. The report is signed with the key of the audit log
(caisson audit key).

Examples:
  sudo caisson attack
  sudo caisson attack --wall gvisor
  sudo caisson attack --profile code-interpreter --json >report.json`

/** Attacks the walls of this installation. */
export async function attack(argv: readonly string[]): Promise<number> {
  const command = verbParser('attack')
    .usage('[options]')
    .description('Attacks the sandboxes of this installation, and reports what held.')
    .option('--wall <name>', `only this wall: ${WALLS.join(', ')}`, wallNamed)
    .option('--profile <name>', 'sandboxes of this profile', 'default')
    .option('--only <text>', 'only attacks whose name contains this; repeatable', collected, [])
    .option('--json', 'print the signed report as JSON', false)
    .addHelpText('after', fitted(EXAMPLES))
  if (!parsed(command, argv)) return 0
  const { wall, profile, only, json }: { wall?: WallName; profile: string; only: string[]; json: boolean } = command.opts()
  if (process.getuid?.() !== 0) {
    throw new Fault('BAD_REQUEST', 'the attacks without the wall need root', { hint: 'Say sudo caisson attack.' })
  }
  const walls = wall === undefined ? WALLS : [wall]
  using interrupts = new Interrupts()
  let reports: readonly WallReport[]
  try {
    await using target = await Target.of(profile, interrupts.signal)
    const isMeant = ({ name }: NamedAttack) => only.length === 0 || only.some((text) => name.includes(text))
    const siege = { target, walls, isMeant, signal: interrupts.signal }
    // Set up before the sandboxes are created, so that the sandboxes could see it.
    const stages = [hostFiles(target), network(), abstractSockets(), hostEnvironment(), hostProcesses()]
    reports = [
      ...(await besieged(siege, { mode: 'none' }, stages, Object.values(calls).flat())),
      ...(await besieged(siege, { mode: 'open' }, [egress()], [])),
    ]
  } catch (failure) {
    if (interrupts.exitCode !== undefined) return interrupts.exitCode
    throw failure
  }
  if (reports.length === 0)
    throw new Fault('NOT_FOUND', `no attack has ${only.map((text) => JSON.stringify(text)).join(' or ')} in its name`)
  const merged = walls.map((name) => together(reports.filter((report) => report.wall === name)))
  const report: AttackReport = {
    version: 2,
    at: new Date().toISOString(),
    machine: { kernel: release(), architecture: arch() },
    profile,
    only: only.length === 0 ? null : only,
    walls: merged,
    contained: isContained(merged),
  }
  const signed = { report, ...(await attest('attack', JSON.stringify(report), { profile, contained: report.contained })) }
  process.stdout.write(json ? `${JSON.stringify(signed)}\n` : attackPage(signed))
  return report.contained ? 0 : 1
}

interface Besieging {
  readonly target: Target
  readonly walls: readonly WallName[]
  readonly isMeant: (attack: NamedAttack) => boolean
  readonly signal: AbortSignal
}

async function besieged(
  { target, walls, isMeant, signal }: Besieging,
  network: Network,
  stages: readonly Stage[],
  asking: readonly NamedAttack[],
): Promise<readonly WallReport[]> {
  // Set up only what the selected attacks need.
  const meant = stages.filter(({ attacks }) => attacks.some(isMeant))
  try {
    for (const stage of meant) await stage.open()
    const all = [...meant.flatMap(({ attacks }) => attacks), ...asking].filter(isMeant)
    const notice = (line: string) => process.stderr.write(`caisson: attack: ${line}\n`)
    await using siege = await Siege.open(all.length === 0 ? [] : walls, { target, network, notice, signal })
    for (const one of all) {
      signal.throwIfAborted()
      await siege.attack(one)
    }
    return siege.reports
  } finally {
    await Promise.all(meant.map((stage) => stage[Symbol.asyncDispose]()))
  }
}

function together([first, ...more]: readonly WallReport[]): WallReport {
  if (first === undefined) throw new Fault('INTERNAL', 'a wall without a report')
  return {
    wall: first.wall,
    unavailable: [first, ...more].map(({ unavailable }) => unavailable).find((why) => why !== null) ?? null,
    tried: [first, ...more].flatMap(({ tried }) => tried),
  }
}
