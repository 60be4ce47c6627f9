import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fault } from '@caisson/wire'
import { SETUP } from './found.ts'
import { type From, run, type Tried, WORD } from './trial.ts'
import { isAtLeast, type Trusted, trusted } from './trusted.ts'

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin']
const DEVICES = ['/dev/kvm', '/dev/net/tun']
/** Folder beside the kernel with the modules that the agent needs to reach the host. */
export const VSOCK = 'vsock'
/** The first version that describes its devices to the kernel by ACPI (its CHANGELOG), the only way that distribution kernels support. */
const LEAST = [1, 8] as const
const PLACE =
  'Put a release of it (1.8 or later) into /usr/local/bin, or name its place with CAISSON_FIRECRACKER; CAISSON_MACHINES=qemu lets QEMU run machines.'
const KERNEL_LINE =
  'console=ttyS0 quiet 8250.nr_uarts=1 pci=off i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd panic=-1 reboot=k rdinit=/init'

/** The Firecracker to use; undefined: there is none, and none was named. `named`: only this one. Rejects with WALL_UNAVAILABLE. */
export async function firecracker(named: string | null, signal: AbortSignal): Promise<Trusted | undefined> {
  for (const program of named === null ? FOLDERS.map((folder) => join(folder, 'firecracker')) : [named]) {
    const found = await trusted(program, /^Firecracker v(\d[\d.]{1,32})/m, PLACE, signal)
    if (found === undefined) continue
    if (isAtLeast(found.version, LEAST)) return found
    throw new Fault('WALL_UNAVAILABLE', `microvm: ${program} is ${found.version}, and ${LEAST.join('.')} is the least`, { hint: PLACE })
  }
  if (named === null) return undefined
  throw noFirecracker(`there is no ${named}`)
}

/** Firecracker was asked for, so nothing replaces it. */
export function noFirecracker(why = 'there is no firecracker in the PATH of the system'): Fault {
  return new Fault('WALL_UNAVAILABLE', `microvm: ${why}`, { hint: PLACE })
}

/** Boots a real machine, as `tryAccelerator` does. Leaves nothing behind. */
export async function tryFirecracker({ program }: Trusted, { kernel, initrd }: From, signal: AbortSignal): Promise<Tried> {
  const missing = DEVICES.find((device) => !existsSync(device))
  if (missing !== undefined) return { why: `there is no ${missing}` }
  if (!existsSync(join(kernel, VSOCK))) return { why: `${kernel} has no modules for vsock: \`${SETUP}\` fetches them` }
  const scratch = await mkdtemp(join(tmpdir(), 'caisson-firecracker-'))
  try {
    const config = join(scratch, 'machine.json')
    const start = { kernel_image_path: join(kernel, 'vmlinux'), initrd_path: initrd, boot_args: `${KERNEL_LINE} -- ${WORD}` }
    await writeFile(config, JSON.stringify({ 'boot-source': start, 'machine-config': { vcpu_count: 1, mem_size_mib: 192 }, drives: [] }))
    return await run(program, ['--no-api', '--config-file', config], 'kvm', signal)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
