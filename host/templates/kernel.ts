import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Fault } from '@caisson/wire'

const execute = promisify(execFile)
/** The distribution's kernel for virtual machines: small, and maintained by the distribution. */
const PACKAGE = 'linux-image-cloud-amd64'
const MAX_SAID_BYTES = 1024 * 1024
const MAX_KERNEL_BYTES = 512 * 1024 * 1024
/** Magic number of the kernel's LZ4 frames (scripts/extract-vmlinux). */
const LZ4 = Buffer.from([0x02, 0x21, 0x4c, 0x18])
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])

/** In order of dependency. */
const MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_mmio', 'virtio_blk', 'virtio_console'],
  ...['failover', 'net_failover', 'virtio_net', 'libcrc32c', 'erofs'],
]

/** Also needed for Firecracker. In a folder of its own, because a machine loads every module that it is given. */
const VSOCK = 'vsock'
const VSOCK_MODULES = ['vsock', 'vmw_vsock_virtio_transport_common', 'vmw_vsock_virtio_transport']

/** Fetches `kernel-VERSION` into `folder`, unless it exists, with `vmlinux` and the modules that a machine needs. Returns its name. */
export async function fetchKernel(folder: string, say: (line: string) => void, signal: AbortSignal): Promise<string> {
  const { stdout } = await execute('apt-cache', ['depends', '--important', PACKAGE], { maxBuffer: MAX_SAID_BYTES, signal })
  const dependency = /Depends: (linux-image-(\d[a-z0-9.+-]{1,64}))$/m.exec(stdout)
  if (dependency?.[1] === undefined) throw new Fault('TEMPLATE_BUILD_FAILED', `the system's packages have no ${PACKAGE}`)
  const name = `kernel-${dependency[2]}`
  const place = join(folder, name)
  if (existsSync(join(place, VSOCK))) return name
  const isThere = existsSync(place)
  say(isThere ? `${dependency[1]}: its modules for Firecracker` : `${dependency[1]}, for machines: nothing of it is installed`)
  const draft = await mkdtemp(join(folder, '.kernel-'))
  try {
    await execute('apt-get', ['download', dependency[1]], { cwd: draft, maxBuffer: MAX_SAID_BYTES, signal })
    const archive = (await readdir(draft)).find((file) => file.endsWith('.deb'))
    if (archive === undefined) throw new Error('nothing was downloaded')
    await execute('dpkg-deb', ['-x', archive, 'x'], { cwd: draft, maxBuffer: MAX_SAID_BYTES, signal })
    const [done, modules] = [join(draft, 'done'), join(draft, 'x/lib/modules')]
    await mkdir(done, { mode: 0o755 })
    await takeModules(modules, VSOCK_MODULES, join(done, VSOCK))
    if (isThere) await rename(join(done, VSOCK), join(place, VSOCK))
    else {
      await unpack(join(draft, 'x/boot', `vmlinuz-${dependency[2]}`), join(done, 'vmlinux'), signal)
      await takeModules(modules, MODULES, join(done, 'modules'))
      await rename(done, place)
    }
    return name
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim().split('\n').at(-1)
    const why = `${dependency[1]}: ${said || (cause instanceof Error ? cause.message : String(cause))}`
    if (!isThere || signal.aborted) throw new Fault('TEMPLATE_BUILD_FAILED', why, { cause })
    // QEMU does not need it.
    say(`${why}. Machines are run by QEMU until that is mended`)
    return name
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
}

/** Unpacks the kernel, because QEMU starts it a second sooner than the self-extracting image. */
async function unpack(image: string, to: string, signal: AbortSignal): Promise<void> {
  const bytes = await readFile(image)
  const at = bytes.indexOf(LZ4)
  if (at < 0) throw new Error('a kernel that is not packed with LZ4')
  await writeFile(`${to}.lz4`, bytes.subarray(at))
  // Data follows the frame; lz4 reports that only after it has written everything.
  const options = { encoding: 'buffer', maxBuffer: MAX_KERNEL_BYTES, signal } as const
  const { stdout } = await execute('lz4', ['-d', '-c', `${to}.lz4`], options).catch((error: { stdout?: Buffer }) => {
    if (error.stdout === undefined || error.stdout.length === 0) throw error
    return { stdout: error.stdout }
  })
  await rm(`${to}.lz4`)
  if (!stdout.subarray(0, ELF.length).equals(ELF)) throw new Error('what was unpacked is no kernel')
  await writeFile(to, stdout, { mode: 0o644 })
}

async function takeModules(from: string, modules: readonly string[], to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 })
  const found = await readdir(from, { recursive: true })
  const order: string[] = []
  for (const module of modules) {
    const path = found.find((one) => one.endsWith(`/${module}.ko`))
    // Built into some kernels.
    if (path === undefined) continue
    await copyFile(join(from, path), join(to, `${module}.ko`))
    order.push(`${module}.ko`)
  }
  const file = await open(join(to, 'order'), 'wx', 0o644)
  await file.writeFile(`${order.join('\n')}\n`)
  await file.close()
}
