/** Where programs inside are looked for. What is in the last folder stands in for names that the machine's own programs do not have. */
export function searchPath(python: boolean): string {
  // The first is there where it may be installed into (templates/ground.py).
  const first = python ? ['/opt/caisson/python/bin', '/caisson/python/bin'] : []
  return [...first, '/usr/local/bin', '/usr/bin', '/bin', '/usr/local/sbin', '/usr/sbin', '/sbin', NAMES].join(':')
}

/** Links to programs under other names. */
export const NAMES = '/caisson/bin'
