import type { IncomingHttpHeaders } from 'node:http'
import { type Context, defaultTextMapGetter, type Span as OpenSpan, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Attributes, Span } from './telemetry.ts'
import type { OpenedTraces } from './traces.ts'

/** How long the last spans may take when the daemon stops. */
const FLUSH_MS = 2_000
const SERVICE = 'caisson'

/** Collects spans and sends them in batches. Spans that cannot be sent are dropped, so that nothing waits for them. */
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
      // Only its code: the text may quote private data.
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
