import { Fault } from '@caisson/wire'
import type { OwnedCall, Route } from '../call.ts'

/** A route for operators only: it concerns the machine and all its users. */
export function forOperators(route: Route): Route {
  return {
    ...route,
    async handle(call: OwnedCall) {
      if (!call.owner.operator) {
        throw new Fault('ACCESS_DENIED', `${route.method} ${route.path} is for operators`, { hint: 'Use the key of an operator.' })
      }
      await route.handle(call)
    },
  }
}
