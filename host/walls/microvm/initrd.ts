import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cpio, type Entry } from './cpio.ts'

const KEEP_EARLIER_MS = 24 * 3600 * 1000

export interface InitrdOptions {
  /** The kernel's folder. */
  readonly kernel: string
  /** Module folders to include, where they exist. */
  readonly modules: readonly string[]
  readonly agent: string
  readonly programs: string
  readonly cache: string
}

/**
 * Makes the initial file system of a kernel: the agent as its first program, the modules that it needs, and the programs of the runtimes. Made once per build
 * of these. Returns its path.
 */
export async function initrd({ kernel, modules, agent, programs, cache }: InitrdOptions): Promise<string> {
  const names = await files(programs)
  const there = modules.filter((name) => existsSync(join(kernel, name)))
  const hash = createHash('sha256').update([kernel, ...there].join(' '))
  for (const path of [agent, ...names.map((name) => join(programs, name))]) {
    const { size, mtimeMs } = await stat(path)
    hash.update(`${path} ${size} ${mtimeMs}\n`)
  }
  const path = join(cache, `initrd-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(path)) return path
  await mkdir(cache, { recursive: true, mode: 0o700 })
  const entries: Entry[] = [
    { path: 'init', content: await readFile(agent) },
    ...(await Promise.all(there.map(async (name) => tree(name, join(kernel, name), await files(join(kernel, name)))))).flat(),
    ...(await tree('runtimes', programs, names)),
  ]
  const draft = `${path}.${randomUUID()}`
  // QEMU runs as an id of its own and must be able to read it.
  await writeFile(draft, cpio(entries), { mode: 0o644 })
  await rename(draft, path)
  await removeEarlier(cache, path)
  return path
}

async function files(folder: string): Promise<string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

async function tree(at: string, folder: string, names: readonly string[]): Promise<Entry[]> {
  const folders = new Set([at])
  for (const name of names) {
    const parts = name.split('/')
    for (let depth = 1; depth < parts.length; depth += 1) folders.add(`${at}/${parts.slice(0, depth).join('/')}`)
  }
  const contents = await Promise.all(names.map(async (name) => ({ path: `${at}/${name}`, content: await readFile(join(folder, name)) })))
  return [...[...folders].map((path) => ({ path })), ...contents]
}

async function removeEarlier(cache: string, current: string): Promise<void> {
  for (const name of await readdir(cache)) {
    const path = join(cache, name)
    if (!name.startsWith('initrd-') || path === current) continue
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && Date.now() - found.mtimeMs > KEEP_EARLIER_MS) await rm(path, { force: true })
  }
}
