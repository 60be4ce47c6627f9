export { connectSandbox, connectSandboxV2 } from './connect.ts'
export { createSandbox, createSandboxV2 } from './create.ts'
export { forkSandbox } from './fork.ts'
export { getSandbox } from './get.ts'
export { killSandbox } from './kill.ts'
export { listRunning, listSandboxes } from './list.ts'
export { getLogs, getLogsV2 } from './logs.ts'
export { getManyMetrics, getMetrics } from './metrics.ts'
export { pauseSandbox } from './pause.ts'
export { refreshSandbox } from './refreshes.ts'
export { resumeSandbox } from './resume.ts'
export { createSnapshot, deleteSnapshot, listSnapshots } from './snapshots.ts'
export { assignTags, listTags, removeTags } from './tags.ts'
export { getMaxTeamMetrics, getTeamMetrics, listTeams } from './teams.ts'
export { getTemplate, getTemplateAlias, listTemplates, listTemplatesV2 } from './templates.ts'
export { setTimeoutOfSandbox } from './timeout.ts'
export {
  createSecret,
  createTemplate,
  createTemplateV1,
  createTemplateV2,
  createVolume,
  deleteSecret,
  deleteVolume,
  deleteVolumePath,
  getBuildFile,
  getBuildLogs,
  getBuildStatus,
  getSecret,
  getVolume,
  listSecrets,
  listVolumeFolder,
  listVolumes,
  makeVolumeFolder,
  readVolumeFile,
  rebuildTemplate,
  startBuild,
  startBuildV2,
  statVolumePath,
  updateSecret,
  updateTemplate,
  updateTemplateV2,
  updateVolumePath,
  writeVolumeFile,
} from './unserved.ts'
export { updateNetwork } from './update-network.ts'
