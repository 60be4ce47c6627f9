// `import 'caisson'` in plain Node: the bundle that ./caisson builds from index.ts, including the embedded host.
export * from '../dist/sdk.mjs'
