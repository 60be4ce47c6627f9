import { lstat, readFile, readlink, stat } from 'node:fs/promises'
import { makeEtc } from './etc.ts'
import type { Made } from './made.ts'
import type { Recipe } from './recipe.ts'
import { NAMES, searchPath } from './search-path.ts'

/** The machine's own programs, and an /etc that reveals nothing about the machine. */
export const base: Recipe = {
  name: 'base',
  aliases: [],
  async build(folder, kitchen, signal) {
    kitchen.say('base: /usr of this machine, and a small /etc')
    const etc = await makeEtc(folder, searchPath(false), signal)
    return { version: 1, name: 'base', etc, python: null, ...(await machine()) }
  },
}

/** The Python runtime needs IPython, which code-interpreter brings. */
const INTERPRETERS = [
  ['javascript', '/usr/bin/node'],
  ['typescript', '/usr/bin/node'],
  ['bash', '/bin/bash'],
  // Part of a JDK, not of a JRE.
  ['java', '/usr/bin/jshell'],
  ['r', '/usr/bin/R'],
] as const

/** What every template shows of the host. */
export async function machine(): Promise<Pick<Made, 'host' | 'symlinks' | 'languages'>> {
  const host = ['/usr', ...(await mountsBelowUsr())]
  const symlinks: Made['symlinks'] = []
  for (const path of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    const found = await lstat(path).catch(absent)
    if (found?.isSymbolicLink()) symlinks.push({ path, to: await readlink(path) })
    else if (found?.isDirectory()) host.push(path)
  }
  symlinks.push(...(await otherNames()))
  // The C library, the JVM and OpenBLAS read the available CPUs here.
  if (await stat('/sys/devices/system/cpu').catch(absent)) host.push('/sys/devices/system/cpu')
  const languages: string[] = []
  for (const [language, interpreter] of INTERPRETERS) {
    if (await stat(interpreter).catch(absent)) languages.push(language)
  }
  return { host, symlinks, languages }
}

/** Programs written for other systems call `python` or `python3` and mean the same. */
async function otherNames(): Promise<Made['symlinks']> {
  const [python, python3] = await Promise.all(['/usr/bin/python', '/usr/bin/python3'].map((path) => stat(path).catch(absent)))
  if (python3 && !python) return [{ path: `${NAMES}/python`, to: '/usr/bin/python3' }]
  return python && !python3 ? [{ path: `${NAMES}/python3`, to: '/usr/bin/python' }] : []
}

/** A bind mount shows one file system. Others may be mounted below /usr (proc_pid_mountinfo(5): the fifth field is the mount point). */
async function mountsBelowUsr(): Promise<string[]> {
  const points = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '')
  return [...new Set(points)].filter((point) => point.startsWith('/usr/') && !point.includes('\\')).sort()
}

function absent(error: NodeJS.ErrnoException): null {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
  throw error
}
