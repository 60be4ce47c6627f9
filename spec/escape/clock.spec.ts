import { clock } from '../../client/attacks/clock.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of clock) attack(wall, one.name, one)
