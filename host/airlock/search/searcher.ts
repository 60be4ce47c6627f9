import { parentPort } from 'node:worker_threads'
import { Known, SearchRun } from './run.ts'
import { type Answer, NotSearched, type Order, type Told } from './words.ts'

const NOTHING: Told = { findings: [], heldBytes: 0 }

/** A search thread, which keeps the main thread free. It processes one order at a time and answers each. */
function main(): void {
  const port = parentPort
  if (port === null) throw new NotSearched('a searcher is a thread of a host')
  const known = new Known()
  const runs = new Map<number, SearchRun>()
  const obey = async (order: Exclude<Order, { order: 'forget' }>): Promise<Told> => {
    if (order.order === 'begin') {
      const run = new SearchRun(known, order.wanted)
      runs.set(order.run, run)
      if (order.said.length > 0) await run.again(order.said)
      return NOTHING
    }
    const run = runs.get(order.run)
    if (run === undefined) throw new NotSearched('nobody began it')
    return order.order === 'write' ? await run.write(order.bytes) : await run.settle()
  }
  port.on('message', (order: Order) => {
    const { run } = order
    if (order.order === 'forget') {
      runs.get(run)?.close()
      return void runs.delete(run)
    }
    const say = (answer: Answer): void => port.postMessage(answer)
    obey(order).then(
      (told) => say({ run, told }),
      (failure: unknown) => say({ run, failed: failure instanceof Error ? failure.message : String(failure) }),
    )
  })
}

main()
