import type { IncomingHttpHeaders } from 'node:http'
import { type Context, defaultTextMapGetter, type Span as OpenSpan, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Attributes, Span } from './telemetry.ts'
import type { OpenedTraces } from './traces.ts'

/** How long the last ones may take on their way when the daemon stops. */
const FLUSH_MS = 2_000
const SERVICE = 'caisson'

/** Collects what is told, and sends it in batches. What cannot be sent is dropped: nothing waits for it. */
export function sendTraces(endpoint: string, codeOf: (failure: unknown) => string): OpenedTraces {
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': SERVICE }),
    spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: FLUSH_MS })],
  })
  const tracer = provider.getTracer(SERVICE)
  const contexts = new AsyncLocalStorageContextManager().enable()
  const propagator = new W3CTraceContextPropagator()

  async function within<T>(open: OpenSpan, context: Context, work: (span: Span) => Promise<T>): Promise<T> {
    try {
      return await contexts.with(trace.setSpan(context, open), () => work({ set: (name, value) => void open.setAttribute(name, value) }))
    } catch (failure) {
      // Its code alone: the text may quote what is nobody else's.
      open.setStatus({ code: SpanStatusCode.ERROR, message: codeOf(failure) })
      throw failure
    } finally {
      open.end()
    }
  }

  return {
    span(name, attributes: Attributes, work) {
      const context = contexts.active()
      return within(tracer.startSpan(name, { attributes }, context), context, work)
    },
    received(name, attributes: Attributes, headers: IncomingHttpHeaders, work) {
      const context = propagator.extract(contexts.active(), headers, defaultTextMapGetter)
      return within(tracer.startSpan(name, { attributes, kind: SpanKind.SERVER }, context), context, work)
    },
    async [Symbol.asyncDispose]() {
      contexts.disable()
      await provider.shutdown().catch(() => undefined)
    },
  }
}
