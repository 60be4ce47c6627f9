import { setFlagsFromString } from 'node:v8'
import { parentPort } from 'node:worker_threads'
import { propose, SCAN_RULES, type Scanned, ScanRules } from '@caisson/policy'
import { checkExamples } from './checked-rules.ts'
import { Reader } from './reading.ts'
import type { Answer, Order, Seen } from './words.ts'

/**
 * The scan thread: third-party parsers must not run on the host's main thread. When code of a language first arrives, the rules are tested on their own
 * examples; if one fails, nothing is judged.
 */
async function main(): Promise<void> {
  // Otherwise V8 recompiles the parsers with its optimising compiler, which costs seconds of CPU and delays the process's exit (seen with Node 20.20).
  setFlagsFromString('--liftoff-only')
  const port = parentPort
  if (port === null) throw new Error('scanning is a thread of a host')
  const reader = await Reader.open()
  const rules = new ScanRules(SCAN_RULES)
  const checked = new Map<Scanned, Promise<void>>()
  const see = async ({ language, code, sets }: Order): Promise<Seen> => {
    const check = checked.get(language) ?? checkExamples(rules, [language], reader)
    checked.set(language, check)
    await check
    const facts = await reader.facts(language, code)
    return { findings: rules.judge(facts, sets), proposal: propose(facts) }
  }
  port.on('message', (order: Order) => {
    const say = (answer: Answer): void => port.postMessage(answer)
    see(order).then(
      (seen) => say({ order: order.order, seen }),
      (failure: unknown) => say({ order: order.order, unseen: failure instanceof Error ? failure.message : String(failure) }),
    )
  })
}

await main()
