import { kernelCalls } from '../../client/attacks/kernel-calls.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of kernelCalls) attack(wall, one.name, one)
