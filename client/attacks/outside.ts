import { spawn } from 'node:child_process'
import { lstat, mkdtemp, readdir, rmdir, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Attack, INTERPRETER, program, read, type Verdict } from './attack.ts'

const ALONE = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc', '--uts', '--ipc', '--']
const PATIENCE_MS = 60_000
const MAX_OUTPUT_BYTES = 1 << 20

/** Runs an attack as root on this machine, without any isolation. */
export async function runOutside(attack: Attack, signal?: AbortSignal): Promise<Verdict[]> {
  if (process.getuid?.() !== 0) throw new Error('the attacks without the wall need root: run these specs as root')
  const scratch = await mkdtemp(join(tmpdir(), 'caisson-scratch-'))
  try {
    return await runWith(scratch, attack, signal)
  } finally {
    // Only one level deep: an attack may have mounted the host's own folders there, in its own namespace or, if that went wrong, in ours.
    for (const name of await readdir(scratch)) {
      const path = join(scratch, name)
      await ((await lstat(path)).isDirectory() ? rmdir(path) : unlink(path))
    }
    await rmdir(scratch)
  }
}

async function runWith(scratch: string, { code, place = 'alone', leak, facts }: Attack, signal?: AbortSignal): Promise<Verdict[]> {
  signal?.throwIfAborted()
  const source = program(code)
  const [command, ...args] = place === 'alone' ? ['/usr/bin/unshare', ...ALONE, ...INTERPRETER] : INTERPRETER
  const child = spawn(command, [...args, source, JSON.stringify({ ...facts?.(false), scratch })], {
    stdio: ['ignore', 'pipe', 'pipe', ...(leak === undefined ? [] : [leak()])],
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
    // A process group of its own, so that it can be killed as a whole. Ctrl-C reaches only us.
    detached: true,
  })
  if (child.stdout === null || child.stderr === null) throw new Error('no pipes')
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? String(code)))
  })
  const end = () => child.pid !== undefined && child.exitCode === null && process.kill(-child.pid, 'SIGKILL')
  signal?.addEventListener('abort', end, { once: true })
  try {
    const [stdout, stderr, how] = await Promise.all([text(child.stdout), text(child.stderr), ended])
    return read(stdout, `exit ${how}: ${stderr}`)
  } finally {
    signal?.removeEventListener('abort', end)
  }
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of stream) {
    bytes += piece.length
    if (bytes > MAX_OUTPUT_BYTES) throw new Error('the attack says too much')
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString()
}
