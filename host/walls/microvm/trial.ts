import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Trusted } from './trusted.ts'

export type Accelerator = 'kvm' | 'tcg'
/** Fastest first. kvm hangs on some virtual machines, so it only counts if it starts something. */
export const ACCELERATORS: readonly Accelerator[] = ['kvm', 'tcg']
/** A working kvm needs half a second, an emulated processor two. */
const RUN_MS = { kvm: 5_000, tcg: 60_000 }
const MAX_SAID_BYTES = 256 * 1024
/** The argument that makes the agent answer in a trial (native/agent/src/main.rs). */
export const WORD = 'hello'
const ANSWER = 'hello from inside'
const KERNEL_LINE = 'console=ttyS0 quiet mitigations=off no_timer_check 8250.nr_uarts=1 panic=-1 reboot=t rdinit=/init'

/** How long a machine took from start to exit, in milliseconds, or why it did not start. */
export type Tried = { readonly ms: number } | { readonly why: string }

/** What the machine is started from. */
export interface From {
  readonly kernel: string
  readonly initrd: string
}

/** Boots a real machine whose first program is the agent, which prints one line. Leaves nothing behind. */
export async function tryAccelerator(
  { program }: Trusted,
  accelerator: Accelerator,
  { kernel, initrd }: From,
  signal: AbortSignal,
): Promise<Tried> {
  const emulated = accelerator === 'tcg'
  const line = emulated ? `${KERNEL_LINE} tsc=reliable tsc_early_khz=${await kilohertz()}` : KERNEL_LINE
  const machine = [
    '-machine',
    'microvm,pit=off,pic=off,rtc=on,isa-serial=on',
    '-m',
    '192M',
    '-accel',
    accelerator,
    '-cpu',
    emulated ? 'max' : 'host',
  ]
  const bare = ['-nodefaults', '-no-user-config', '-display', 'none', '-monitor', 'none', '-no-reboot', '-serial', 'stdio']
  const narrow = ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny']
  const started = ['-kernel', join(kernel, 'vmlinux'), '-initrd', initrd, '-append', `${line} -- ${WORD}`]
  return await run(program, [...machine, ...bare, ...narrow, ...started], accelerator, signal)
}

/** Runs a program that should print the agent's answer and exit. */
export async function run(program: string, words: readonly string[], accelerator: Accelerator, signal: AbortSignal): Promise<Tried> {
  try {
    const begun = performance.now()
    const { stdout } = await promisify(execFile)(program, words, {
      env: {},
      cwd: '/',
      timeout: RUN_MS[accelerator],
      killSignal: 'SIGKILL',
      maxBuffer: MAX_SAID_BYTES,
      signal,
    })
    if (!stdout.includes(ANSWER)) return { why: `it did not run what it was given: ${stdout.trim().split('\n').at(-1)?.slice(0, 300)}` }
    return { ms: performance.now() - begun }
  } catch (failure) {
    signal.throwIfAborted()
    const { killed, stderr, message } = failure as { killed?: boolean; stderr?: string; message: string }
    if (killed === true) return { why: `it hung for ${RUN_MS[accelerator] / 1000} s` }
    return { why: (stderr?.trim().split('\n').at(-1) || message).slice(0, 500) }
  }
}

/** Accurate enough for a machine that lives for a second. */
async function kilohertz(): Promise<number> {
  const megahertz = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1]
  return Math.round(Number(megahertz ?? 2000) * 1000)
}
