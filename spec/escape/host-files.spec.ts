import { hostFiles } from '../../client/attacks/host-files.ts'
import { attackAll, shared } from './attack.ts'

attackAll(shared(), hostFiles())
