import { Fault } from '@caisson/wire'
import { noTraces, type Traces } from './telemetry.ts'

export interface OpenedTraces extends Traces, AsyncDisposable {}

/** `endpoint`: base URL of a collector that speaks OTLP over HTTP; null: nobody collects, and nothing of what would send them is loaded. */
export async function openTraces(endpoint: string | null): Promise<OpenedTraces> {
  if (endpoint === null) return { ...noTraces, [Symbol.asyncDispose]: async () => undefined }
  const { sendTraces } = await import('./otlp.ts')
  // That is a bundle of its own, with another class of the same name.
  return sendTraces(endpoint, (failure) => (failure instanceof Fault ? failure.code : 'INTERNAL'))
}
