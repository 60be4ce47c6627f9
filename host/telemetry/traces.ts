import { Fault } from '@caisson/wire'
import { noTraces, type Traces } from './telemetry.ts'

export interface OpenedTraces extends Traces, AsyncDisposable {}

/** `endpoint`: base URL of an OTLP collector over HTTP; null: none, and the code that sends traces is not loaded. */
export async function openTraces(endpoint: string | null): Promise<OpenedTraces> {
  if (endpoint === null) return { ...noTraces, [Symbol.asyncDispose]: async () => undefined }
  const { sendTraces } = await import('./otlp.ts')
  // That module is a separate bundle, so its Fault is a different class.
  return sendTraces(endpoint, (failure) => (failure instanceof Fault ? failure.code : 'INTERNAL'))
}
