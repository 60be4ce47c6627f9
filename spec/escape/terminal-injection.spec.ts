import { terminalInjection } from '../../client/attacks/terminal-injection.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of terminalInjection) attack(wall, one.name, one)
