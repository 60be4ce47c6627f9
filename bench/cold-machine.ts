import { join } from 'node:path'
import { readSettings } from '../host/settings.ts'
import { parts, qemu } from '../host/walls/microvm/found.ts'
import { initrd } from '../host/walls/microvm/initrd.ts'
import { ACCELERATORS, type Accelerator, tryAccelerator } from '../host/walls/microvm/trial.ts'
import type { Trusted } from '../host/walls/microvm/trusted.ts'
import type { Reference } from './references.ts'

const NO_END = new AbortController().signal
let found: { accelerator: Accelerator; boot(): Promise<void> } | undefined

/** QEMU by itself, from nothing to the end of a machine whose first program says a line; on its fastest means that starts anything here. */
export const coldMachine: Reference = {
  get what() {
    return `plain QEMU${found === undefined ? '' : ` (${found.accelerator})`}: a machine boots, without Python, and ends`
  },
  async missing() {
    try {
      const { agent, programs, home, templates } = readSettings()
      const program = await qemu(NO_END)
      const { kernel } = await parts(templates)
      const start = await initrd({ kernel, modules: ['modules'], agent, programs, cache: join(home, 'engines') })
      for (const accelerator of ACCELERATORS) {
        const boot = () => booted(program, accelerator, { kernel, initrd: start })
        const isStarted = await boot().then(
          () => true,
          () => false,
        )
        if (isStarted) {
          found = { accelerator, boot }
          return undefined
        }
      }
      return 'it starts no machine by any means'
    } catch (failure) {
      return failure instanceof Error ? failure.message : String(failure)
    }
  },
  run: async () => await found?.boot(),
}

async function booted(program: Trusted, accelerator: Accelerator, from: { kernel: string; initrd: string }): Promise<void> {
  const tried = await tryAccelerator(program, accelerator, from, NO_END)
  if ('why' in tried) throw new Error(tried.why)
}
