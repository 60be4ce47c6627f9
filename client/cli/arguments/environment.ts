import { Fault } from '@caisson/wire'

/** `K=V` pairs. `K` alone passes on the caller's own value, so that a secret need not appear on the command line. */
export function environment(pairs: readonly string[], own: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const env: Record<string, string> = {}
  for (const pair of pairs) {
    const at = pair.indexOf('=')
    const name = at === -1 ? pair : pair.slice(0, at)
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new Fault('BAD_REQUEST', `${JSON.stringify(name)} is not a name of an environment variable`, {
        hint: 'Write --env NAME=VALUE.',
      })
    }
    const value = at === -1 ? own[name] : pair.slice(at + 1)
    if (value === undefined) {
      throw new Fault('BAD_REQUEST', `--env ${name} has no value, and ${name} is not set here`, { hint: 'Write --env NAME=VALUE.' })
    }
    env[name] = value
  }
  return env
}
