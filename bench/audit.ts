import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Sandbox } from 'caisson'
import { AuditLog } from '../host/audit/log.ts'
import type { AuditRecord } from '../host/audit/record.ts'
import type { Row } from './report.ts'
import { series, summary, took } from './statistics.ts'

const RECORDER = fileURLToPath(new URL('../native/bin/caisson-recorder.node', import.meta.url))
const PER_SECOND = 5000
const TICK_MS = 10
const SUSTAINED_MS = 5000

const command: AuditRecord = {
  kind: 'command',
  sandbox: 'ibench',
  command: '/bin/true',
  args: ['--quietly', 'x'.repeat(64)],
  user: 'user',
  cwd: '/home/user',
}
/** As long as that of a sandbox with its plan. */
const create: AuditRecord = {
  kind: 'create',
  sandbox: 'ibench',
  profile: 'default',
  template: 'base',
  wall: 'container',
  sha256: { profile: '', policy: null },
  metadata: {},
  plan: {
    binds: Array.from({ length: 30 }, (_, index) => ({ source: `/state/templates/${index}`, target: `/usr/${index}`, mode: 'ro' })),
  },
}

/** What a record costs, alone and at 5,000 a second, and what that is of making a sandbox. */
export async function audit(rounds: number): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cai-'))
  try {
    using log = new AuditLog({
      folder,
      recorder: RECORDER,
      segmentBytes: 64 * 2 ** 20,
      keep: { bytes: 0, ms: 0 },
      terminals: { mode: 'off', maxBytes: 0 },
    })
    const one = await series(rounds * 20, 100, () => took(async () => log.append(command)))
    const large = await series(rounds * 20, 100, () => took(async () => log.append(create)))
    const busy = await sustained(log)
    const crowded = await besideOthers(log, rounds)
    const made = await series(rounds, 3, async () => {
      const begun = performance.now()
      await using _ = await Sandbox.create({ template: 'base' })
      return performance.now() - begun
    })
    // With a create go its record and, the keeper's, that of the agent's start.
    const share = summary([((large.p50 + one.p50) / made.p50) * 100])
    const crowdedShare = summary([(crowded.p50 / made.p50) * 100])
    return [
      { what: 'a record of a command', unit: 'ms', measured: one },
      { what: 'a record of a sandbox with its plan', unit: 'ms', measured: large },
      { what: `${PER_SECOND} records a second for ${SUSTAINED_MS / 1000} s: time spent on them`, unit: '%', measured: busy, aim: 50 },
      { what: `both while another process records ${PER_SECOND} a second, waiting for the lock included`, unit: 'ms', measured: crowded },
      { what: 'a sandbox, made', unit: 'ms', measured: made },
      { what: 'of that, its records', unit: '%', measured: share, aim: 5 },
      { what: `of that, its records while another process records ${PER_SECOND} a second`, unit: '%', measured: crowdedShare, aim: 5 },
    ]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Records at that pace until it is ended, and says so when it has begun. */
const OTHER = `
const [recorder, path, fields, perSecond] = process.argv.slice(1)
const native = require(recorder)
const log = native.open(path)
const begun = performance.now()
let written = 0
setInterval(() => {
  const due = ((performance.now() - begun) / 1000) * Number(perSecond)
  for (; written < due; written += 1) native.append(log, fields)
  if (written > 500) process.stdout.write('going')
}, 5)
`

/** What the two records of a create take while another process writes as many as are aimed at. */
async function besideOthers(log: AuditLog, rounds: number) {
  const words = ['-e', OTHER, RECORDER, log.path, JSON.stringify(command), String(PER_SECOND)]
  const other = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(other, 'close')
  try {
    await once(other.stdout, 'data')
    other.stdout.resume()
    const both = async () => {
      await pause(1)
      return await took(async () => {
        log.append(create)
        log.append(command)
      })
    }
    return await series(rounds * 10, 50, both)
  } finally {
    other.kill('SIGKILL')
    await ended
  }
}

/** Percent of the time that appending took, each second. Throws when the machine did not keep up. */
async function sustained(log: AuditLog) {
  const shares: number[] = []
  const begun = performance.now()
  let written = 0
  while (performance.now() - begun < SUSTAINED_MS) {
    const second = performance.now()
    let busyMs = 0
    while (performance.now() - second < 1000) {
      const due = Math.floor(((performance.now() - begun) / 1000) * PER_SECOND)
      const from = performance.now()
      for (; written < due; written += 1) log.append(command)
      busyMs += performance.now() - from
      await pause(TICK_MS)
    }
    shares.push((busyMs / (performance.now() - second)) * 100)
  }
  const late = PER_SECOND * ((performance.now() - begun) / 1000) - written
  if (late > PER_SECOND) throw new Error(`${Math.round(late)} records are late after ${SUSTAINED_MS / 1000} s`)
  return summary(shares)
}
