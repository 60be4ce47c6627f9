import { machineLanguages } from '../../client/attacks/machine-languages.ts'
import { attack, shared } from './attack.ts'

const wall = shared()

for (const one of machineLanguages) attack(wall, one.name, one)
