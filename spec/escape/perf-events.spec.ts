import { perfEvents } from '../../client/attacks/perf-events.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of perfEvents) attack(wall, one.name, one)
