import { kernelLog } from '../../client/attacks/kernel-log.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of kernelLog) attack(wall, one.name, one)
