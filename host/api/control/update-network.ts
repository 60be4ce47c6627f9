import { type Route, readJson, sendNothing } from '../call.ts'
import { namedSandbox } from './named.ts'
import { NetworkUpdate, refuseEgress } from './network.ts'

/** Replaces what a sandbox may send out. That is nothing, before and after. */
export const updateNetwork: Route = {
  method: 'PUT',
  path: '/sandboxes/:id/network',
  async handle(call) {
    refuseEgress(await readJson(call, NetworkUpdate), '')
    namedSandbox(call)
    sendNothing(call.reply)
  },
}
