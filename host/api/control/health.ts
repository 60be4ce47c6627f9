import { type Route, sendJson } from '../call.ts'

/** The daemon answers. Asks for no key. */
export const health: Route = {
  method: 'GET',
  path: '/health',
  async handle({ reply }) {
    sendJson(reply, 200, {})
  },
}
