/** PATH of programs inside. The last folder provides names that the machine's own programs lack. */
export function searchPath(python: boolean): string {
  // The first exists where packages can be installed (templates/ground.py).
  const first = python ? ['/opt/caisson/python/bin', '/caisson/python/bin'] : []
  return [...first, '/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin', NAMES].join(':')
}

/** Links to programs under other names. */
export const NAMES = '/caisson/bin'
