import { Fault } from '@caisson/wire'
import type { Route } from '../call.ts'

const BUILDS = {
  what: 'templates cannot be built here yet',
  hint: 'Create a sandbox from `base` or `code-interpreter`, set it up, and take a snapshot: it serves as a template.',
}
const VOLUMES = { what: 'there are no volumes here', hint: 'Upload files, or create sandboxes from a snapshot that has them.' }
const SECRETS = { what: 'no secrets are kept here', hint: 'Pass values in envVars; the program inside can read those.' }

export const createTemplate = refusal('POST', '/v3/templates', BUILDS)
export const createTemplateV2 = refusal('POST', '/v2/templates', BUILDS)
export const createTemplateV1 = refusal('POST', '/templates', BUILDS)
export const rebuildTemplate = refusal('POST', '/templates/:id', BUILDS)
export const updateTemplate = refusal('PATCH', '/templates/:id', BUILDS)
export const updateTemplateV2 = refusal('PATCH', '/v2/templates/:id', BUILDS)
export const startBuild = refusal('POST', '/templates/:id/builds/:build', BUILDS)
export const startBuildV2 = refusal('POST', '/v2/templates/:id/builds/:build', BUILDS)
export const getBuildStatus = refusal('GET', '/templates/:id/builds/:build/status', BUILDS)
export const getBuildLogs = refusal('GET', '/templates/:id/builds/:build/logs', BUILDS)
export const getBuildFile = refusal('GET', '/templates/:id/files/:hash', BUILDS)

export const listVolumes = refusal('GET', '/volumes', VOLUMES)
export const createVolume = refusal('POST', '/volumes', VOLUMES)
export const getVolume = refusal('GET', '/volumes/:id', VOLUMES)
export const deleteVolume = refusal('DELETE', '/volumes/:id', VOLUMES)
export const statVolumePath = refusal('GET', '/volumecontent/:id/path', VOLUMES)
export const updateVolumePath = refusal('PATCH', '/volumecontent/:id/path', VOLUMES)
export const deleteVolumePath = refusal('DELETE', '/volumecontent/:id/path', VOLUMES)
export const listVolumeFolder = refusal('GET', '/volumecontent/:id/dir', VOLUMES)
export const makeVolumeFolder = refusal('POST', '/volumecontent/:id/dir', VOLUMES)
export const readVolumeFile = refusal('GET', '/volumecontent/:id/file', VOLUMES)
export const writeVolumeFile = refusal('PUT', '/volumecontent/:id/file', VOLUMES)

export const listSecrets = refusal('GET', '/secrets', SECRETS)
export const createSecret = refusal('POST', '/secrets', SECRETS)
export const getSecret = refusal('GET', '/secrets/:id', SECRETS)
export const updateSecret = refusal('POST', '/secrets/:id', SECRETS)
export const deleteSecret = refusal('DELETE', '/secrets/:id', SECRETS)

/** A route of E2B's API that clients may well call but that Caisson lacks: the refusal names the alternative. */
function refusal(method: Route['method'], path: string, { what, hint }: { what: string; hint: string }): Route {
  return {
    method,
    path,
    async handle() {
      throw new Fault('UNSUPPORTED', `${method} ${path}: ${what}`, { hint })
    },
  }
}
