import { ptrace } from '../../client/attacks/ptrace.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of ptrace) attack(wall, one.name, one)
