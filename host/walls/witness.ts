import { execFile, spawn } from 'node:child_process'
import { readdir, readFile, readlink } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { within } from '@caisson/wire'
import { z } from 'zod'
import type { Finding } from './wall.ts'

const ASK_MS = 10_000
/** Time limit for what is counted and for the answer. */
const COUNT_MS = 60_000
const Lacking = z.strictObject({ lacking: z.string() })
const Offered = z.strictObject({
  ebpf: z.union([Lacking, z.strictObject({})]),
  audit: z.union([Lacking, z.strictObject({ enabled: z.int(), listener: z.int() })]),
})

/**
 * Kernel facilities that could also observe executions, as tried by a keeper (native/keeper/src/witness.rs), and their use. Sandboxes depend on none of them.
 */
export async function witnesses(keeper: string, signal: AbortSignal): Promise<Finding[]> {
  const [ebpf, audit] = ['eBPF', 'audit of the kernel']
  try {
    const { stdout } = await promisify(execFile)(keeper, ['try-witness'], { env: {}, timeout: ASK_MS, signal })
    const offered = Offered.parse(JSON.parse(stdout))
    return [
      { what: ebpf, severity: 'fine', detail: 'lacking' in offered.ebpf ? `${offered.ebpf.lacking}; ${UNNEEDED}` : COUNTS },
      {
        what: audit,
        severity: 'fine',
        detail: 'lacking' in offered.audit ? `${offered.audit.lacking}; ${UNNEEDED}` : audited(offered.audit),
      },
    ]
  } catch (failure) {
    const detail = `could not be tried (${failure instanceof Error ? failure.message.slice(0, 200) : String(failure)}); ${UNNEEDED}`
    return [ebpf, audit].map((what) => ({ what, severity: 'fine', detail }))
  }
}

const UNNEEDED = 'not needed: commands are recorded by seccomp notification'
const COUNTS = 'counts executions in the kernel, as tried: the check of the audit log asks it as a second witness; sandboxes run without'

function audited({ enabled, listener }: { enabled: number; listener: number }): string {
  const state = `${enabled === 0 ? 'off' : 'on'}, ${listener === 0 ? 'nobody listens' : `process ${listener} listens`}`
  return `offered (${state}), and left alone: it is one for the whole machine, and its rules are the operator's`
}

/**
 * How many executions the kernel counts in the sandbox `id` while `during` runs. Undefined: counting is not possible here, and `during` ran all the same.
 * Rejects as `during` does.
 */
export async function executionsDuring(
  keeper: string,
  id: string,
  during: () => Promise<unknown>,
  signal: AbortSignal,
): Promise<number | undefined> {
  const pid = await processOf(id)
  if (pid === undefined) {
    await during()
    return undefined
  }
  const late = within(COUNT_MS, signal)
  const child = spawn(keeper, ['witness', pid], { env: {}, stdio: ['pipe', 'pipe', 'ignore'], signal: late })
  // Its output ends in this case, too.
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  try {
    const counting = told(await lines.next())['counting'] === true
    await during()
    if (!counting) return undefined
    child.stdin.end()
    const { executed } = told(await lines.next())
    return typeof executed === 'number' ? executed : undefined
  } finally {
    child.kill('SIGKILL')
  }
}

function told({ value, done }: IteratorResult<string>): Record<string, unknown> {
  return done === true ? {} : JSON.parse(value)
}

/** Host pid of a process in the sandbox. */
async function processOf(id: string): Promise<string | undefined> {
  const own = await readlink('/proc/self/ns/pid')
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '')
    if (!groups.includes(id)) continue
    const theirs = await readlink(`/proc/${pid}/ns/pid`).catch(() => own)
    if (theirs !== own) return pid
  }
  return undefined
}
