// One line per step: what holds, or what does not and why. A program that fails a step goes on with the next, and ends with 1.
import { inspect } from 'node:util'

let held = 0
let failed = 0

/** Runs one step. */
export async function step(what, work) {
  try {
    await work()
    held += 1
    console.log(`ok      ${what}`)
  } catch (error) {
    failed += 1
    console.log(`FAILED  ${what}\n${inspect(error).replace(/^/gm, '        ')}`)
  }
}

/** The last line of a program; one that never comes here has not run to its end. Timers of the SDK would hold it for a minute more. */
export function finish() {
  console.log(`${held} held, ${failed} failed`)
  process.exit(failed === 0 ? 0 : 1)
}

/** Waits until `check` gives something true, and gives that back. The bound is against hanging, not a promise. */
export async function eventually(what, check, seconds = 20) {
  const deadline = Date.now() + seconds * 1000
  for (;;) {
    const found = await check()
    if (found) return found
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`)
    await pause(0.05)
  }
}

export function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000))
}
