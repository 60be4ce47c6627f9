import { hostProcesses } from '../../client/attacks/host-processes.ts'
import { attackAll, shared } from './attack.ts'

attackAll(shared(), hostProcesses())
