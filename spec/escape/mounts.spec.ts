import { mounts } from '../../client/attacks/mounts.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of mounts) attack(wall, one.name, one)
