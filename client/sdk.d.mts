// The types beside sdk.mjs: the declarations that ./caisson makes of index.ts.
export * from '../dist/types/client/index.js'
