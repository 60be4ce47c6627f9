// What `import 'caisson'` gives in plain Node: the bundle that ./caisson makes of index.ts, with the embedded host in it.
export * from '../dist/sdk.mjs'
