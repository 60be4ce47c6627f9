import { type NamedAttack, python } from './attack.ts'

export const ids: readonly NamedAttack[] = [
  {
    name: 'ids of the host',

    why: 'whoever gets out, by whatever way, is somebody there: root, or the neighbour whose ids are the same',
    stoppedBy: /^nobody of the host/,
    code: python`
def outside(path):
    def run():
        # Inside, outside, how many; the last column of the whole host's is all there are.
        maps = [[int(part) for part in line.split()] for line in open(path)]
        # Ids below are those of people and services, and the ranges that tools give to others (subuid(5), systemd-nspawn).
        low = [one for one in maps if one[1] < 1_879_048_192]
        if not low:
            raise Contained(f'nobody of the host: {maps}')
        return low
    return run

way('users')(outside('/proc/self/uid_map'))
way('groups')(outside('/proc/self/gid_map'))
`,
  },
]
